#include "threads.h"

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "arguments.h"
#include "closing.h"
#include "define.h"
#include "detached-thread.h"
#include "environment.h"
#include "functions.h"
#include "system-error.h"

namespace grpcfd {

int FdJob::Keep(int fd) {
  if (fd < 0) return errno;
  made_ = OwnFd(fd);
  return 0;
}

void FdJob::Abandon(Environment& environment) {
  const int fd = made_.Release();
  if (fd >= 0) environment.closing().CloseAll(&fd, 1);
}

napi_value FdJob::Result(napi_env env, Environment& environment) {
  napi_value fd = nullptr;
  napi_create_int32(env, made_.Get(), &fd);
  if (!made_.IsOpen()) return fd;
  environment.SetAccount(made_.Get(), 0);
  environment.Guard(made_.Release());
  return fd;
}

struct Threads::Request {
  std::unique_ptr<ThreadJob> job;
  std::shared_ptr<Mailbox> mailbox;
  napi_ref on_done = nullptr;
  int error = 0;
};

struct Threads::Mailbox {
  std::mutex mutex;
  // nullptr when the environment is gone.
  uv_async_t* async = nullptr;
  std::vector<std::unique_ptr<Request>> done;
};

Threads::Threads(napi_env env, Environment& environment)
    : env_(env),
      environment_(environment),
      async_(static_cast<uv_async_t*>(::operator new(uv_handle_size(UV_ASYNC)))),
      mailbox_(std::make_shared<Mailbox>()) {
  uv_async_init(environment.loop(), async_, [](uv_async_t* async) {
    static_cast<Threads*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(async)))->Deliver();
  });
  uv_handle_set_data(handle(), this);
  mailbox_->async = async_;
  napi_value name = nullptr;
  napi_value resource = nullptr;
  napi_create_object(env, &resource);
  napi_create_string_utf8(env, "GRPCFD_THREAD", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &async_context_);
  environment.Add(this);
}

Threads::~Threads() { ::operator delete(async_); }

int Threads::Start(napi_env env, Environment& environment, std::unique_ptr<ThreadJob> job, napi_value on_done) {
  Threads* threads = environment.threads();
  if (threads == nullptr) {
    threads = new Threads(env, environment);
    environment.SetThreads(threads);
  }
  std::unique_ptr<Request> request(new Request);
  request->job = std::move(job);
  request->mailbox = threads->mailbox_;
  napi_create_reference(env, on_done, 1, &request->on_done);

  const int error = StartDetachedThread(Run, request.get());
  if (error != 0) {
    napi_delete_reference(env, request->on_done);
    if (threads->pending_ == 0) threads->Close();
    return error;
  }
  static_cast<void>(request.release());
  threads->pending_++;
  return 0;
}

// In the thread.
void* Threads::Run(void* data) {
  std::unique_ptr<Request> request(static_cast<Request*>(data));
  request->error = request->job->Run();
  const std::shared_ptr<Mailbox> mailbox = std::move(request->mailbox);
  const std::lock_guard<std::mutex> lock(mailbox->mutex);
  if (mailbox->async != nullptr) {
    mailbox->done.push_back(std::move(request));
    uv_async_send(mailbox->async);
  }
  return nullptr;
}

void Threads::Deliver() {
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

void Threads::Call(Request& request) {
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_value global = nullptr;
  napi_value values[2] = {};
  napi_get_reference_value(env_, request.on_done, &callback);
  napi_delete_reference(env_, request.on_done);
  napi_get_global(env_, &global);
  napi_create_int32(env_, request.error, &values[0]);
  values[1] = request.job->Result(env_, environment_);
  ReportException(env_, napi_make_callback(env_, async_context_, global, callback, 2, values, nullptr));
  napi_close_handle_scope(env_, scope);
}

void Threads::KeepAlive(bool wanted) {
  if (wanted) uv_ref(handle());
  else uv_unref(handle());
}

void Threads::Close() {
  if (uv_is_closing(handle()) != 0) return;
  {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    mailbox_->async = nullptr;
    for (const std::unique_ptr<Request>& request : mailbox_->done) request->job->Abandon(environment_);
    mailbox_->done.clear();
  }
  environment_.ForgetThreads(this);
  uv_close(handle(), [](uv_handle_t* closed) {
    auto* self = static_cast<Threads*>(uv_handle_get_data(closed));
    if (self->async_context_ != nullptr) napi_async_destroy(self->env_, self->async_context_);
    self->environment_.Remove(self);
    delete self;
  });
}

namespace {

napi_value KeepAliveForThreads(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  bool wanted = false;
  if (!arguments.Bool(0, &wanted)) return nullptr;
  Threads* threads = Environment::Of(env).threads();
  if (threads != nullptr) threads->KeepAlive(wanted);
  return nullptr;
}

}  // namespace

napi_value StartJob(napi_env env, std::unique_ptr<ThreadJob> job, napi_value on_done) {
  const int error = Threads::Start(env, Environment::Of(env), std::move(job), on_done);
  return error == 0 ? nullptr : ThrowSystemError(env, error, "pthread_create");
}

bool DefineThreadsFunction(napi_env env, napi_value exports) {
  return Define(env, exports, {{"keepAliveForThreads", KeepAliveForThreads}});
}

}  // namespace grpcfd
