#include "opener.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "arguments.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "stay-loaded.h"
#include "system-error.h"

namespace grpcfd {
namespace {

constexpr mode_t kNewFileMode = 0666;
constexpr size_t kStackSize = 256 * 1024;

// Linux 5.6; not in the headers of the systems that prebuilt binaries are made on. The same number on every architecture.
constexpr long kOpenat2 = 437;
struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr uint64_t kNoMagicLinks = 0x02;
constexpr uint64_t kBeneath = 0x08;

// The kernel gives up with EAGAIN when a directory is being renamed.
constexpr int kAttempts = 128;

int OpenBeneath(int directory, const char* path, int flags) {
  OpenHow how = {};
  how.flags = static_cast<uint32_t>(flags);
  how.mode = (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0 ? kNewFileMode : 0;
  how.resolve = kBeneath | kNoMagicLinks;
  long fd = -1;
  for (int i = 0; i < kAttempts; i++) {
    fd = syscall(kOpenat2, directory, path, &how, sizeof(how));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  if (fd < 0 && errno == EPERM) {
    // Old sandboxes answer so to every system call that they do not know.
    OpenHow nothing = {O_PATH | O_CLOEXEC, 0, 0};
    const OwnFd probe(static_cast<int>(syscall(kOpenat2, AT_FDCWD, "/", &nothing, sizeof(nothing))));
    errno = probe.IsOpen() ? EPERM : ENOSYS;
  }
  return static_cast<int>(fd);
}

int OpenAnywhere(const char* path, int flags) {
  int fd;
  do {
    fd = open(path, flags, kNewFileMode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

OwnFd OpenNow(OpenJob& job) {
  // A FIFO would be waited for otherwise, in the thread and later in the receiver.
  const bool adds_nonblock = (job.flags & (O_PATH | O_NONBLOCK)) == 0;
  const int flags = job.flags | O_CLOEXEC | (adds_nonblock ? O_NONBLOCK | O_NOCTTY : 0);
  if (!job.directory_path.empty()) {
    job.directory = OwnFd(OpenAnywhere(job.directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!job.directory.IsOpen()) return OwnFd();
  }
  OwnFd opened(job.directory.IsOpen() ? OpenBeneath(job.directory.Get(), job.path.c_str(), flags)
                                      : OpenAnywhere(job.path.c_str(), flags));
  if (opened.IsOpen() && adds_nonblock) fcntl(opened.Get(), F_SETFL, fcntl(opened.Get(), F_GETFL) & ~O_NONBLOCK);
  return opened;
}

}  // namespace

struct Opener::Request {
  OpenJob job;
  std::shared_ptr<Mailbox> mailbox;
  napi_ref on_opened = nullptr;
  OwnFd opened;
  int error = 0;
};

struct Opener::Mailbox {
  std::mutex mutex;
  // nullptr when the environment is gone.
  uv_async_t* async = nullptr;
  std::vector<std::unique_ptr<Request>> done;
};

Opener::Opener(napi_env env, Environment& environment)
    : env_(env),
      environment_(environment),
      async_(static_cast<uv_async_t*>(::operator new(uv_handle_size(UV_ASYNC)))),
      mailbox_(std::make_shared<Mailbox>()) {
  uv_async_init(environment.loop(), async_, [](uv_async_t* async) {
    static_cast<Opener*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(async)))->Deliver();
  });
  uv_handle_set_data(handle(), this);
  mailbox_->async = async_;
  napi_value name = nullptr;
  napi_value resource = nullptr;
  napi_create_object(env, &resource);
  napi_create_string_utf8(env, "GRPCFD_OPEN", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &async_context_);
  environment.Add(this);
}

Opener::~Opener() { ::operator delete(async_); }

int Opener::Open(napi_env env, Environment& environment, OpenJob job, napi_value on_opened) {
  // A thread may run its code after the worker that started it has ended.
  StayLoaded();
  Opener* opener = environment.opener();
  if (opener == nullptr) {
    opener = new Opener(env, environment);
    environment.SetOpener(opener);
  }
  std::unique_ptr<Request> request(new Request);
  request->job = std::move(job);
  request->mailbox = opener->mailbox_;
  napi_create_reference(env, on_opened, 1, &request->on_opened);

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackSize);
  // The thread inherits the mask: the signals of the process are for others.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, Run, request.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    napi_delete_reference(env, request->on_opened);
    if (opener->pending_ == 0) opener->Close();
    return error;
  }
  static_cast<void>(request.release());
  opener->pending_++;
  return 0;
}

// In the thread.
void* Opener::Run(void* data) {
  std::unique_ptr<Request> request(static_cast<Request*>(data));
  request->opened = OpenNow(request->job);
  request->error = request->opened.IsOpen() ? 0 : errno;
  request->job.directory.Reset();
  const std::shared_ptr<Mailbox> mailbox = std::move(request->mailbox);
  const std::lock_guard<std::mutex> lock(mailbox->mutex);
  if (mailbox->async != nullptr) {
    mailbox->done.push_back(std::move(request));
    uv_async_send(mailbox->async);
  }
  return nullptr;
}

void Opener::Deliver() {
  std::vector<std::unique_ptr<Request>> done;
  {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    done.swap(mailbox_->done);
  }
  for (const std::unique_ptr<Request>& request : done) {
    pending_--;
    Call(*request);
  }
  if (pending_ == 0) Close();
}

void Opener::Call(Request& request) {
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_value global = nullptr;
  napi_value values[2] = {};
  napi_get_reference_value(env_, request.on_opened, &callback);
  napi_delete_reference(env_, request.on_opened);
  napi_get_global(env_, &global);
  napi_create_int32(env_, request.error, &values[0]);
  napi_create_int32(env_, request.opened.Get(), &values[1]);
  if (request.opened.IsOpen()) environment_.Guard(request.opened.Release());
  ReportException(env_, napi_make_callback(env_, async_context_, global, callback, 2, values, nullptr));
  napi_close_handle_scope(env_, scope);
}

void Opener::KeepAlive(bool wanted) {
  if (wanted) uv_ref(handle());
  else uv_unref(handle());
}

void Opener::Close() {
  if (uv_is_closing(handle()) != 0) return;
  {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    mailbox_->async = nullptr;
    mailbox_->done.clear();
  }
  environment_.ForgetOpener(this);
  uv_close(handle(), [](uv_handle_t* closed) {
    auto* self = static_cast<Opener*>(uv_handle_get_data(closed));
    if (self->async_context_ != nullptr) napi_async_destroy(self->env_, self->async_context_);
    self->environment_.Remove(self);
    delete self;
  });
}

namespace {

// openInThread(directory, directoryPath, path, flags, onOpened): takes over `directory`, a descriptor or -1, also when no thread can be
// made.
napi_value OpenInThread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  OpenJob job;
  int directory = -1;
  if (!arguments.Int(0, &directory) || !arguments.Path(1, &job.directory_path) || !arguments.Path(2, &job.path) ||
      !arguments.Int(3, &job.flags)) {
    return nullptr;
  }
  Environment& environment = Environment::Of(env);
  environment.Unguard(directory);
  job.directory = OwnFd(directory);
  const int error = Opener::Open(env, environment, std::move(job), arguments[4]);
  return error == 0 ? nullptr : ThrowSystemError(env, error, "pthread_create");
}

napi_value KeepAliveToOpen(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool wanted = false;
  if (!arguments.Bool(0, &wanted)) return nullptr;
  Opener* opener = Environment::Of(env).opener();
  if (opener != nullptr) opener->KeepAlive(wanted);
  return nullptr;
}

}  // namespace

bool DefineOpenerFunctions(napi_env env, napi_value exports) {
  return Define(env, exports, {{"openInThread", OpenInThread}, {"keepAliveToOpen", KeepAliveToOpen}});
}

}  // namespace grpcfd
