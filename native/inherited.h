#ifndef GRPCFD_INHERITED_H_
#define GRPCFD_INHERITED_H_

namespace grpcfd {

// The user is given the descriptor of that number. If the number was adopted before, as that of an inherited socket, it names another file
// now, which may be adopted as a listener.
void GiveOut(int fd);

}  // namespace grpcfd

#endif  // GRPCFD_INHERITED_H_
