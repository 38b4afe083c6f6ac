#ifndef GRPCFD_PROC_LINES_H_
#define GRPCFD_PROC_LINES_H_

#include <cstdint>
#include <string_view>

namespace grpcfd {

// A line of /proc/self/mountinfo.
struct MountLine {
  uint64_t mount = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  // Of the file system. It lies in the line.
  std::string_view type;
};

// False if the line does not have this form: mount id, id of the parent, major:minor, …, " - ", type, …
bool ParseMountLine(std::string_view line, MountLine* out);

// The major number in a line of /proc/tty/drivers, which has the name of a driver, the path of its devices, this number, and more.
bool ParseDriverLine(std::string_view line, uint32_t* device_major);

// Takes the next line off the text. The last one may have no end of line. False when the text is empty.
bool TakeLine(std::string_view* text, std::string_view* line);

}  // namespace grpcfd

#endif  // GRPCFD_PROC_LINES_H_
