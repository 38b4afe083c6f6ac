#include "diag-answer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

#include <algorithm>
#include <cstring>

namespace grpcfd {
namespace {

constexpr size_t Align(size_t size) { return (size + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1}; }
static_assert(NLMSG_ALIGNTO == RTA_ALIGNTO, "messages and attributes have one alignment");

constexpr size_t kAttributes = Align(sizeof(nlmsghdr)) + Align(sizeof(unix_diag_msg));
constexpr size_t kAttributeHeader = Align(sizeof(rtattr));

}  // namespace

bool ReadDiagAttribute(const void* answer, size_t size, uint16_t type, void* value, size_t length) {
  const auto* bytes = static_cast<const unsigned char*>(answer);
  nlmsghdr message;
  if (size < kAttributes) return false;
  memcpy(&message, bytes, sizeof(message));
  if (message.nlmsg_type != SOCK_DIAG_BY_FAMILY) return false;
  const size_t end = std::min<size_t>(message.nlmsg_len, size);
  for (size_t at = kAttributes; at + kAttributeHeader <= end;) {
    rtattr attribute;
    memcpy(&attribute, bytes + at, sizeof(attribute));
    if (attribute.rta_len < kAttributeHeader || attribute.rta_len > end - at) return false;
    if (attribute.rta_type == type && attribute.rta_len - kAttributeHeader >= length) {
      memcpy(value, bytes + at + kAttributeHeader, length);
      return true;
    }
    at += Align(attribute.rta_len);
  }
  return false;
}

}  // namespace grpcfd
