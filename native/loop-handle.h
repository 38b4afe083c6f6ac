#ifndef GRPCFD_LOOP_HANDLE_H_
#define GRPCFD_LOOP_HANDLE_H_

namespace grpcfd {

// An object that is part of the event loop of an environment, and has to leave it when the environment is torn down.
class LoopHandle {
 public:
  // Closes its descriptors and leaves the event loop. Idempotent.
  virtual void Close() = 0;
  // The process calls exit(), perhaps in the middle of anything, and nothing else is called after that. No JavaScript can run.
  virtual void BeforeExit() {}
  // Whether it uses a descriptor of that number that libuv does not know.
  virtual bool Uses(int) const { return false; }

 protected:
  ~LoopHandle() = default;
};

}  // namespace grpcfd

#endif  // GRPCFD_LOOP_HANDLE_H_
