#include "mapping.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <utility>

#include "arguments.h"
#include "closing.h"
#include "define.h"
#include "environment.h"
#include "functions.h"
#include "system-error.h"

// Since Linux 5.14. Older headers lack it, and older kernels return EINVAL.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace grpcfd {
namespace {

// The size of a step. Neither Vacate nor page faults of other threads may wait for long: the kernel holds the lock of the address
// space for as long as one madvise takes, 0.25 ms for this much.
constexpr size_t kStep = size_t{4} << 20;

// To unmap so much takes about as long as to have a thread do it.
constexpr size_t kUnmapAtOnce = size_t{1} << 20;

// The type tag that distinguishes an ArrayBuffer of Map from other wrapped objects.
constexpr napi_type_tag kMappingTag = {0x9f5a1c0e77d24b63, 0xb1e83d52c4069a7f};

// Throws, unless an exception of Node.js is pending already.
napi_value Fail(napi_env env, const char* message) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, nullptr, message);
  return nullptr;
}

void ReleaseMapping(napi_env, void*, void* mapping) { static_cast<Mapping*>(mapping)->Release(); }

}  // namespace

napi_value Mapping::Map(napi_env env, int fd, size_t length, bool writable) {
  // JavaScript has no read-only memory: a store to PROT_READ pages would kill the process. A private mapping takes it,
  // on a page of its own. Reads cost the same as those of a shared one: until a store, both show the same pages.
  // NORESERVE, because hardly any of those copies will ever be made.
  const int flags = writable ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) return ThrowSystemError(env, errno, "mmap");
  auto* mapping = new Mapping(address, length, Environment::Of(env).closing().closers());
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, address, length, ReleaseMapping, mapping, &buffer) != napi_ok) {
    // Some failures run the finalizer and some do not. So the few bytes of the object stay, and the memory does not.
    mapping->Vacate();
    return Fail(env, "this build of Node.js takes no external memory");
  }
  // V8 may release the memory of a detached ArrayBuffer while operations still hold the object, and can move the memory to
  // another ArrayBuffer (`transfer()`) while the object is collected. The addresses are unused only when both are gone.
  if (napi_type_tag_object(env, buffer, &kMappingTag) != napi_ok ||
      napi_wrap(env, buffer, mapping, ReleaseMapping, mapping, nullptr) != napi_ok) {
    return Fail(env, "the ArrayBuffer could not be marked");
  }
  mapping->Retain();
  return buffer;
}

Mapping* Mapping::Of(napi_env env, napi_value buffer) {
  bool ours = false;
  void* mapping = nullptr;
  // The type is checked first, because the check of the tag throws another error for a value that is not an object.
  if (napi_is_arraybuffer(env, buffer, &ours) != napi_ok || !ours ||
      napi_check_object_type_tag(env, buffer, &kMappingTag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, buffer, &mapping) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument 0 must be an ArrayBuffer of map()");
    return nullptr;
  }
  return static_cast<Mapping*>(mapping);
}

class Mapping::Vacation final : public Closers::Work {
 public:
  explicit Vacation(Mapping* mapping) : mapping_(mapping) { mapping->Retain(); }
  void Run() override {
    mapping_->Unmap();
    mapping_->Release();
  }

 private:
  Mapping* mapping_;
};

Mapping::Mapping(void* address, size_t length, std::shared_ptr<Closers> closers)
    : address_(address), length_(length), closers_(std::move(closers)) {}

void Mapping::Vacate() {
  if (vacated_.exchange(true)) return;
  if (length_ <= kUnmapAtOnce) Unmap();
  else closers_->Run(std::make_unique<Vacation>(this));
}

void Mapping::Unmap() {
  // The kernel keeps the lock of the address space until all of a mapping is gone, and page faults of other threads wait for it.
  for (size_t offset = 0; offset < length_; offset += kStep) {
    madvise(static_cast<char*>(address_) + offset, std::min(kStep, length_ - offset), MADV_DONTNEED);
  }
  // In one step, so that nothing else can be mapped in between, and writable from the start: a thread of the pool may be storing to it.
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (mmap(address_, length_, PROT_READ | PROT_WRITE, kFlags, -1, 0) != MAP_FAILED) return;
  // A system that never overcommits reserves memory for writable mappings, and may have none left. A read-only mapping needs
  // none, but a store before the mprotect has succeeded kills the process on such a system.
  if (mmap(address_, length_, PROT_READ, kFlags, -1, 0) == MAP_FAILED) {
    abandoned_ = true;
    return;
  }
  mprotect(address_, length_, PROT_READ | PROT_WRITE);
}

int Mapping::Seal(int fd, int seals) {
  // The kernel refuses while anybody, this process included, could write through a shared mapping. Both steps replace the mapping in place:
  // there is no moment at which a thread of the pool finds a hole.
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  int error = 0;
  if (mmap(address_, length_, kProtection, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED) {
    error = errno;
  } else if (fcntl(fd, F_ADD_SEALS, seals) == 0) {
    return 0;
  } else {
    error = errno;
    if (mmap(address_, length_, kProtection, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) return error;
  }
  Vacate();
  return error;
}

void Mapping::Release() {
  if (--references_ > 0) return;
  if (length_ <= kUnmapAtOnce || vacated_.exchange(true)) {
    delete this;
    return;
  }
  // The thread is the only one that has it.
  references_ = 0;
  closers_->Run(std::make_unique<Vacation>(this));
}

Mapping::~Mapping() {
  if (!abandoned_) munmap(address_, length_);
}

void Mapping::Populate() {
  while (!vacated_.load()) {
    const size_t offset = populated_.fetch_add(kStep);
    if (offset >= length_) return;
    const size_t size = std::min(kStep, length_ - offset);
    // The error is ignored: a real one shows when the memory is touched, and a kernel that is too old for this causes no other.
    if (madvise(static_cast<char*>(address_) + offset, size, MADV_POPULATE_READ) != 0) return;
  }
}

namespace {

napi_value Map(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  size_t length = 0;
  bool writable = false;
  if (!arguments.Int(0, &fd) || !arguments.Size(1, &length) || !arguments.Bool(2, &writable)) return nullptr;
  return Mapping::Map(env, fd, length, writable);
}

napi_value Unmap(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Mapping* mapping = Mapping::Of(env, arguments[0]);
  if (mapping == nullptr) return nullptr;
  napi_detach_arraybuffer(env, arguments[0]);
  mapping->Vacate();
  return nullptr;
}

// sealMapped(buffer, fd, seals)
napi_value SealMapped(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  int fd = -1;
  int seals = 0;
  if (!arguments.Int(1, &fd) || !arguments.Int(2, &seals)) return nullptr;
  Mapping* mapping = Mapping::Of(env, arguments[0]);
  if (mapping == nullptr) return nullptr;
  const int error = mapping->Seal(fd, seals);
  if (mapping->is_vacated()) napi_detach_arraybuffer(env, arguments[0]);
  return error == 0 ? nullptr : ThrowSystemError(env, error, "fcntl");
}

// One run of Mapping::Populate in the thread pool, and the promise that its end settles.
struct Population {
  Mapping* mapping;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void CompletePopulation(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Population> population(static_cast<Population*>(data));
  napi_value undefined = nullptr;
  napi_get_undefined(env, &undefined);
  napi_resolve_deferred(env, population->deferred, undefined);
  napi_delete_async_work(env, population->work);
  population->mapping->Release();
}

napi_value Populate(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Mapping* mapping = Mapping::Of(env, arguments[0]);
  if (mapping == nullptr) return nullptr;
  std::unique_ptr<Population> population(new Population{mapping});
  const auto execute = [](napi_env, void* data) { static_cast<Population*>(data)->mapping->Populate(); };
  napi_value name = nullptr;
  napi_value promise = nullptr;
  if (napi_create_string_utf8(env, "grpcfd.populate", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, nullptr, name, execute, CompletePopulation, population.get(), &population->work) !=
          napi_ok ||
      napi_create_promise(env, &population->deferred, &promise) != napi_ok ||
      napi_queue_async_work(env, population->work) != napi_ok) {
    if (population->work != nullptr) napi_delete_async_work(env, population->work);
    return Fail(env, "the thread pool took no work");
  }
  mapping->Retain();
  static_cast<void>(population.release());
  return promise;
}

}  // namespace

bool DefineMappingFunctions(napi_env env, napi_value exports) {
  return Define(env, exports, {{"map", Map}, {"unmap", Unmap}, {"sealMapped", SealMapped}, {"populate", Populate}});
}

}  // namespace grpcfd
