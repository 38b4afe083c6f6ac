#ifndef GRPCFD_SYSTEM_ERROR_H_
#define GRPCFD_SYSTEM_ERROR_H_

#include <node_api.h>

namespace grpcfd {

// An Error like those that Node makes for system calls: message "EMFILE: too many open files, recvmsg", `code` "EMFILE",
// `errno` negative, `syscall` "recvmsg".
napi_value MakeSystemError(napi_env env, int error_number, const char* syscall);

// Throws one. Returns nullptr, so that a function can end with it.
napi_value ThrowSystemError(napi_env env, int error_number, const char* syscall);

// After a call into JavaScript from the event loop: what it threw is an uncaught exception.
void ReportException(napi_env env, napi_status status);

}  // namespace grpcfd

#endif  // GRPCFD_SYSTEM_ERROR_H_
