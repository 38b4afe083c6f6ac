#ifndef GRPCFD_MAPPING_H_
#define GRPCFD_MAPPING_H_

#include <node_api.h>

#include <atomic>
#include <cstddef>

namespace grpcfd {

// Memory of a file as an ArrayBuffer. Two things are apart here, the memory and the addresses at which it is seen:
//
// - Vacate gives the memory back at once. JavaScript then has an empty ArrayBuffer.
// - The addresses stay taken until nothing can refer to them any more. A read or a compression that is still at work on
//   them in another thread finds zeros there, and neither a hole, which would kill the process, nor whatever was mapped
//   there since.
//
// Functions run on the thread of the environment unless they say otherwise.
class Mapping {
 public:
  // A new ArrayBuffer over the first `length` bytes of `fd`, which is only borrowed. nullptr with an exception pending.
  static napi_value Map(napi_env env, int fd, size_t length, bool writable);

  // The mapping behind an ArrayBuffer of Map, or nullptr with an exception pending.
  static Mapping* Of(napi_env env, napi_value buffer);

  void Vacate();

  void Retain() { references_++; }
  void Release();

  // Takes steps of the mapping that nobody has taken, and has the kernel fill in its page table for them, until there is
  // none left or it is vacated. On any thread, several at a time.
  void Populate();

 private:
  Mapping(void* address, size_t length) : address_(address), length_(length) {}
  ~Mapping();

  void* const address_;
  const size_t length_;
  int references_ = 1;
  // Nobody knows what is at the addresses: never touch them again.
  bool abandoned_ = false;
  std::atomic<bool> vacated_{false};
  std::atomic<size_t> populated_{0};
};

}  // namespace grpcfd

#endif  // GRPCFD_MAPPING_H_
