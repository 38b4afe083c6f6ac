// ReceiveMessage, with a kernel that writes pieces of any level, type and length. The linker puts the functions below in place of recvmsg and
// close (--wrap). Each descriptor of SCM_RIGHTS has to be given, in order, and each descriptor closed once.
#include "message.h"

#include <fuzzer/FuzzedDataProvider.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "check.h"

namespace {

constexpr int kScmPidfd = 4;

struct Kernel {
  std::vector<char> control;
  ssize_t result = 0;
  int error = 0;
  int flags = 0;
  std::vector<int> closed;
  bool is_on = false;
};
Kernel kernel;

}  // namespace

extern "C" {
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_recvmsg(int socket, msghdr* message, int flags);
ssize_t __wrap_recvmsg(int socket, msghdr* message, int flags);

int __wrap_close(int fd) {
  if (!kernel.is_on) return __real_close(fd);
  kernel.closed.push_back(fd);
  return 0;
}

ssize_t __wrap_recvmsg(int socket, msghdr* message, int flags) {
  if (!kernel.is_on) return __real_recvmsg(socket, message, flags);
  grpcfd::Check((flags & MSG_CMSG_CLOEXEC) != 0 && (flags & MSG_DONTWAIT) != 0);
  if (kernel.error != 0) {
    errno = std::exchange(kernel.error, 0);
    return -1;
  }
  const size_t size = std::min<size_t>(kernel.control.size(), message->msg_controllen);
  if (size > 0) memcpy(message->msg_control, kernel.control.data(), size);
  message->msg_controllen = size;
  message->msg_flags = kernel.flags;
  return kernel.result;
}
}

namespace {

// A number that no other piece has.
struct Expected {
  std::vector<int> given;
  std::vector<int> all;
  int next = 1000;
};

void AppendPiece(FuzzedDataProvider* input, Expected* expected) {
  const int levels[] = {SOL_SOCKET, SOL_SOCKET, SOL_SOCKET, 0, 41};
  const int types[] = {SCM_RIGHTS, SCM_RIGHTS, SCM_CREDENTIALS, 3, kScmPidfd, 0};
  const int level = input->PickValueInArray(levels);
  const int type = input->PickValueInArray(types);
  const bool is_rights = level == SOL_SOCKET && type == SCM_RIGHTS;
  const bool has_fds = is_rights || (level == SOL_SOCKET && type == kScmPidfd);
  const auto count = input->ConsumeIntegralInRange<size_t>(0, 40);
  std::vector<int> numbers(count);
  for (int& number : numbers) {
    number = expected->next++;
    if (has_fds) expected->all.push_back(number);
    if (is_rights) expected->given.push_back(number);
  }
  // The rest of a piece that is not whole numbers. The kernel writes none into pieces of descriptors.
  const size_t bytes = sizeof(int) * count + input->ConsumeIntegralInRange<size_t>(0, 3);
  std::vector<char> piece(CMSG_SPACE(bytes));
  auto* header = reinterpret_cast<cmsghdr*>(piece.data());
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(bytes);
  if (count > 0) memcpy(piece.data() + CMSG_LEN(0), numbers.data(), sizeof(int) * count);
  if (kernel.control.size() + piece.size() > 4096) {
    for (size_t i = 0; has_fds && i < count; i++) expected->all.pop_back();
    for (size_t i = 0; is_rights && i < count; i++) expected->given.pop_back();
    return;
  }
  kernel.control.insert(kernel.control.end(), piece.begin(), piece.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  kernel = Kernel();
  Expected expected;
  const bool is_raw = input.ConsumeBool();
  kernel.result = input.ConsumeIntegralInRange<int>(0, 100);
  kernel.flags = input.ConsumeBool() ? MSG_CTRUNC : 0;
  if (input.ConsumeBool()) kernel.error = EINTR;
  const int pieces = input.ConsumeIntegralInRange<int>(0, 6);
  for (int i = 0; i < pieces && !is_raw; i++) AppendPiece(&input, &expected);
  if (is_raw) kernel.control = input.ConsumeRemainingBytes<char>();
  kernel.is_on = true;
  size_t given = 0;
  {
    char byte = 0;
    const grpcfd::ReceivedMessage message = grpcfd::ReceiveMessage(-1, &byte, 1);
    given = message.descriptors.size();
    grpcfd::Check(message.bytes == kernel.result);
    grpcfd::Check(message.truncated == (kernel.flags == MSG_CTRUNC));
    grpcfd::Check(given * sizeof(int) <= kernel.control.size());
    for (size_t i = 0; !is_raw && i < std::max(given, expected.given.size()); i++) {
      grpcfd::Check(i < given && i < expected.given.size());
      grpcfd::Check(message.descriptors[i].Get() == expected.given[i]);
    }
  }
  kernel.is_on = false;
  if (!is_raw) {
    std::sort(kernel.closed.begin(), kernel.closed.end());
    grpcfd::Check(kernel.closed == expected.all);
  }
  return 0;
}
