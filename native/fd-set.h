#ifndef GRPCFD_FD_SET_H_
#define GRPCFD_FD_SET_H_

#include <cstddef>
#include <vector>

namespace grpcfd {

// A set of open descriptors, a bit for each number. It seldom allocates memory: the kernel gives out the lowest number
// that is free, so the numbers are small and dense.
class FdSet {
 public:
  void Add(int fd) {
    if (fd < 0) return;
    const auto index = static_cast<size_t>(fd);
    if (index >= bits_.size()) bits_.resize(index + 1);
    bits_[index] = true;
  }

  void Remove(int fd) {
    if (fd >= 0 && static_cast<size_t>(fd) < bits_.size()) bits_[static_cast<size_t>(fd)] = false;
  }

  bool Has(int fd) const { return fd >= 0 && static_cast<size_t>(fd) < bits_.size() && bits_[static_cast<size_t>(fd)]; }

  // Empties the set.
  std::vector<int> TakeAll() {
    std::vector<int> all;
    for (size_t index = 0; index < bits_.size(); index++) {
      if (bits_[index]) all.push_back(static_cast<int>(index));
    }
    bits_.clear();
    return all;
  }

 private:
  std::vector<bool> bits_;
};

}  // namespace grpcfd

#endif  // GRPCFD_FD_SET_H_
