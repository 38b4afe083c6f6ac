#ifndef GRPCFD_STAY_LOADED_H_
#define GRPCFD_STAY_LOADED_H_

namespace grpcfd {

// The addon is not unloaded any more until the process ends. Otherwise the end of the last worker that uses it unloads it, with all that
// belongs to the process and not to one thread. Cheap after the first call.
void StayLoaded();

}  // namespace grpcfd

#endif  // GRPCFD_STAY_LOADED_H_
