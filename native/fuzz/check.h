#ifndef GRPCFD_FUZZ_CHECK_H_
#define GRPCFD_FUZZ_CHECK_H_

#include <cstdlib>

namespace grpcfd {

// The fuzzer reports an abort, with the input that led to it.
inline void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace grpcfd

#endif  // GRPCFD_FUZZ_CHECK_H_
