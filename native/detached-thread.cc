#include "detached-thread.h"

#include <pthread.h>

#include <csignal>
#include <cstddef>

#include "stay-loaded.h"

namespace grpcfd {
namespace {

constexpr size_t kStackSize = size_t{256} * 1024;

}  // namespace

int StartDetachedThread(void* (*run)(void*), void* data) {
  // A thread may run its code after the worker that started it has ended.
  StayLoaded();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackSize);
  // The thread inherits the mask: the signals of the process are for others.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread = {};
  const int error = pthread_create(&thread, &attributes, run, data);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace grpcfd
