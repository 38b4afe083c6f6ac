#ifndef GRPCFD_LIBUV_H_
#define GRPCFD_LIBUV_H_

// The part of libuv's ABI that the addon uses. Node.js exports these functions. The addon is built without the header of libuv, because
// the packages that bring the headers of Node-API do not have it. `test/native/libuv.test.ts` compares this file with the real header.

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

extern "C" {

struct uv_loop_s;
struct uv_handle_s;
struct uv_stream_s;
struct uv_pipe_s;
struct uv_async_s;
struct uv_check_s;
struct uv_poll_s;
struct uv_prepare_s;
struct uv_timer_s;

using uv_loop_t = uv_loop_s;
using uv_handle_t = uv_handle_s;
using uv_stream_t = uv_stream_s;
using uv_pipe_t = uv_pipe_s;
using uv_async_t = uv_async_s;
using uv_check_t = uv_check_s;
using uv_poll_t = uv_poll_s;
using uv_prepare_t = uv_prepare_s;
using uv_timer_t = uv_timer_s;
using uv_os_fd_t = int;

enum uv_handle_type { UV_ASYNC = 1, UV_CHECK = 2, UV_NAMED_PIPE = 7, UV_POLL = 8, UV_PREPARE = 9, UV_TIMER = 13 };
enum uv_poll_event { UV_READABLE = 1, UV_WRITABLE = 2, UV_DISCONNECT = 4, UV_PRIORITIZED = 8 };
enum { UV_EOF = -4095, UV_ENOBUFS = -ENOBUFS };

struct uv_buf_t {
  char* base;
  size_t len;
};

using uv_close_cb = void (*)(uv_handle_t*);
using uv_alloc_cb = void (*)(uv_handle_t*, size_t, uv_buf_t*);
using uv_read_cb = void (*)(uv_stream_t*, ssize_t, const uv_buf_t*);
using uv_async_cb = void (*)(uv_async_t*);
using uv_check_cb = void (*)(uv_check_t*);
using uv_poll_cb = void (*)(uv_poll_t*, int, int);
using uv_prepare_cb = void (*)(uv_prepare_t*);
using uv_timer_cb = void (*)(uv_timer_t*);
using uv_walk_cb = void (*)(uv_handle_t*, void*);

struct uv_queue_t {
  uv_queue_t* next;
  uv_queue_t* previous;
};

// What the event loop watches of a descriptor. It is in the queue of watchers while epoll is to be told of a change.
struct uv_io_t {
  void* callback;
  uv_queue_t pending_queue;
  uv_queue_t watcher_queue;
  // What it is to watch for from the next wait on.
  unsigned int pevents;
  unsigned int events;
  int fd;
};

// The beginning of a loop.
struct uv_loop_s {
  void* data;
  unsigned int active_handles;
  uv_queue_t handle_queue;
  void* active_reqs;
  void* internal_fields;
  unsigned int stop_flag;
  unsigned long flags;
  int backend_fd;
  uv_queue_t pending_queue;
  uv_queue_t watcher_queue;
};

// The beginning of a stream. libuv changes no field within one major version.
struct uv_stream_s {
  void* data;
  uv_loop_t* loop;
  uv_handle_type type;
  uv_close_cb close_cb;
  void* handle_queue[2];
  void* reserved[4];
  uv_handle_t* next_closing;
  unsigned int flags;
  size_t write_queue_size;
  uv_alloc_cb alloc_cb;
  uv_read_cb read_cb;
};

struct uv_pipe_s : uv_stream_s {
  void* requests[2];
  uv_io_t io_watcher;
  void* write_queues[4];
  void* connection_cb;
  int delayed_error;
  int accepted_fd;
  void* queued_fds;
  int ipc;
  const char* pipe_fname;
};

struct uv_metrics_t {
  // How often the loop has been about to wait. libuv counts behind the callbacks of uv_prepare_t.
  uint64_t loop_count;
  uint64_t events;
  uint64_t events_waiting;
  uint64_t* reserved[13];
};
size_t uv_handle_size(uv_handle_type type);
uv_handle_type uv_handle_get_type(const uv_handle_t* handle);
void* uv_handle_get_data(const uv_handle_t* handle);
void uv_handle_set_data(uv_handle_t* handle, void* data);
int uv_is_active(const uv_handle_t* handle);
int uv_is_closing(const uv_handle_t* handle);
int uv_fileno(const uv_handle_t* handle, uv_os_fd_t* fd);
void uv_close(uv_handle_t* handle, uv_close_cb closed);
void uv_ref(uv_handle_t* handle);
void uv_unref(uv_handle_t* handle);
void uv_walk(uv_loop_t* loop, uv_walk_cb visit, void* data);
uint64_t uv_now(const uv_loop_t* loop);

int uv_backend_fd(const uv_loop_t* loop);
int uv_metrics_info(uv_loop_t* loop, uv_metrics_t* metrics);
int uv_async_init(uv_loop_t* loop, uv_async_t* async, uv_async_cb callback);
int uv_async_send(uv_async_t* async);
int uv_check_init(uv_loop_t* loop, uv_check_t* check);
int uv_check_start(uv_check_t* check, uv_check_cb callback);
int uv_check_stop(uv_check_t* check);
int uv_poll_init(uv_loop_t* loop, uv_poll_t* poll, int fd);
int uv_poll_start(uv_poll_t* poll, int events, uv_poll_cb callback);
int uv_poll_stop(uv_poll_t* poll);
int uv_prepare_init(uv_loop_t* loop, uv_prepare_t* prepare);
int uv_prepare_start(uv_prepare_t* prepare, uv_prepare_cb callback);
int uv_prepare_stop(uv_prepare_t* prepare);
int uv_timer_init(uv_loop_t* loop, uv_timer_t* timer);
int uv_timer_start(uv_timer_t* timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat);
int uv_read_stop(uv_stream_t* stream);
int uv_is_writable(const uv_stream_t* stream);
size_t uv_stream_get_write_queue_size(const uv_stream_t* stream);

uv_buf_t uv_buf_init(char* base, unsigned int length);
char* uv_err_name_r(int error, char* buffer, size_t length);
char* uv_strerror_r(int error, char* buffer, size_t length);
}

#endif  // GRPCFD_LIBUV_H_
