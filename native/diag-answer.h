#ifndef GRPCFD_DIAG_ANSWER_H_
#define GRPCFD_DIAG_ANSWER_H_

#include <cstddef>
#include <cstdint>

namespace grpcfd {

// Copies the first `length` bytes of an attribute out of what the module unix_diag has answered. False if there is no such attribute, or it is
// shorter. No length in the answer is trusted.
bool ReadDiagAttribute(const void* answer, size_t size, uint16_t type, void* value, size_t length);

}  // namespace grpcfd

#endif  // GRPCFD_DIAG_ANSWER_H_
