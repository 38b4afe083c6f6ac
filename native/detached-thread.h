#ifndef GRPCFD_DETACHED_THREAD_H_
#define GRPCFD_DETACHED_THREAD_H_

namespace grpcfd {

// Runs `run(data)` in a thread that nobody waits for, and that gets no signals of the process. The end of the process ends it. The addon
// stays loaded from now on, since a worker that ends would unload it under the thread. Returns 0, or an errno when no thread can be made.
int StartDetachedThread(void* (*run)(void*), void* data);

}  // namespace grpcfd

#endif  // GRPCFD_DETACHED_THREAD_H_
