#ifndef GRPCFD_SOCKET_CALLS_H_
#define GRPCFD_SOCKET_CALLS_H_

#include <node_api.h>
#include <sys/types.h>

#include <cstdint>

#include "arguments.h"
#include "message.h"
#include "unix-address.h"

namespace grpcfd {

class Environment;

// The elements before the descriptors where LeaveDescriptors puts them: see ARRIVED in src/native/types.ts.
constexpr size_t kArrivedHeader = 2;
constexpr size_t kArrivedLength = kArrivedHeader + kMaxDescriptorsPerMessage;

napi_value MakeInt(napi_env env, int64_t number);

// Returns 0 for a unix stream socket, otherwise the errno that tells why it is not one.
int CheckUnixStream(int fd);

// Device and inode of the socket that `fd` is connected to. False where the kernel does not tell: without its module unix_diag, in
// another network namespace, or once that end is closed.
bool FindPeer(int fd, uint64_t* device, uint64_t* inode);

// Device and the low 32 bits of the inode of the file that a unix socket is bound to. False where the kernel does not tell.
bool FindFile(int fd, uint64_t* device, uint64_t* inode);

// Connects a datagram socket to a socket file. Returns 0 or the errno. The kernel looks for the socket that is bound to the file before it
// compares the types of the two. So EPROTOTYPE means that a stream socket is bound to it, which does not notice it, and ECONNREFUSED that
// none is.
int ProbeSocketFile(const UnixAddress& address);

// Leaves the descriptors of a message in memory of JavaScript, guarded: their number, whether some were truncated, and
// then the descriptors themselves. They are closed on that account.
void LeaveDescriptors(Environment& environment, uint32_t account, ReceivedMessage message, FdList out);

// send(buffers, limit, descriptors, count): one sendmsg. Returns the bytes sent or the negative errno.
napi_value SendArguments(napi_env env, const Arguments& arguments, int socket);

// probe(fd): would the kernel send this descriptor? Returns 0 or the negative errno. A sendmsg without bytes goes through
// every check of its descriptors and then drops them, so that nothing reaches the peer.
napi_value ProbeArgument(napi_env env, const Arguments& arguments, int socket);

}  // namespace grpcfd

#endif  // GRPCFD_SOCKET_CALLS_H_
