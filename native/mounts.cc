#include "mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "proc-lines.h"

namespace grpcfd {
namespace {

// The size of a read. The kernel gives whole lines.
constexpr size_t kReadSize = size_t{16} * 1024;

FileSystem KindOf(std::string_view type) {
  constexpr std::string_view kInMemory[] = {"tmpfs", "devtmpfs"};
  constexpr std::string_view kOnDisk[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "overlay"};
  const auto is_type = [type](std::string_view each) { return each == type; };
  if (std::any_of(std::begin(kInMemory), std::end(kInMemory), is_type)) return FileSystem::kMemory;
  if (std::any_of(std::begin(kOnDisk), std::end(kOnDisk), is_type)) return FileSystem::kDisk;
  return FileSystem::kUnknown;
}

FileSystem Lookup(const std::unordered_map<uint64_t, FileSystem>& table, uint64_t key) {
  const auto found = table.find(key);
  return found == table.end() ? FileSystem::kUnknown : found->second;
}

}  // namespace

// Opened before it is read: what changes meanwhile is told by the next look.
void Mounts::Open() {
  if (!list_.IsOpen()) list_ = OwnFd(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
}

void Mounts::Update() {
  if (is_read_ && !HasChanged()) return;
  devices_.clear();
  mounts_.clear();
  Open();
  std::string text;
  is_read_ = true;
  if (!list_.IsOpen() || !Read(&text)) Close();
  else Parse(text);
}

FileSystem Mounts::Find(uint64_t device, uint64_t mount) const {
  const FileSystem by_mount = Lookup(mounts_, mount);
  return by_mount == FileSystem::kUnknown ? Lookup(devices_, device) : by_mount;
}

void Mounts::Close() {
  list_.Reset();
  is_read_ = false;
  devices_.clear();
  mounts_.clear();
}

// The kernel tells each change once.
bool Mounts::HasChanged() const {
  pollfd list = {list_.Get(), POLLPRI, 0};
  return poll(&list, 1, 0) != 0;
}

bool Mounts::Read(std::string* text) const {
  if (lseek(list_.Get(), 0, SEEK_SET) != 0) return false;
  for (;;) {
    const size_t size = text->size();
    text->resize(size + kReadSize);
    const ssize_t length = read(list_.Get(), &(*text)[size], kReadSize);
    text->resize(size + static_cast<size_t>(std::max<ssize_t>(length, 0)));
    if (length <= 0) return length == 0;
  }
}

void Mounts::Parse(std::string_view text) {
  MountLine mount;
  for (std::string_view line; TakeLine(&text, &line);) {
    if (!ParseMountLine(line, &mount)) continue;
    const FileSystem kind = KindOf(mount.type);
    if (kind == FileSystem::kUnknown) continue;
    mounts_[mount.mount] = kind;
    devices_[makedev(mount.device_major, mount.device_minor)] = kind;
  }
}

}  // namespace grpcfd
