// Any text as /proc/self/mountinfo and as /proc/tty/drivers.
#include "proc-lines.h"

#include <cstddef>
#include <string>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view rest = text;
  std::string lines;
  for (std::string_view line; grpcfd::TakeLine(&rest, &line);) {
    grpcfd::Check(line.find('\n') == std::string_view::npos);
    lines.append(line).append("\n");
    grpcfd::MountLine mount;
    if (grpcfd::ParseMountLine(line, &mount)) {
      const size_t at = static_cast<size_t>(mount.type.data() - line.data());
      grpcfd::Check(at + mount.type.size() <= line.size() && at >= 3 && line.substr(at - 3, 3) == " - ");
      grpcfd::Check(mount.type.find(' ') == std::string_view::npos);
      const std::string device = std::to_string(mount.device_major) + ":";
      grpcfd::Check(line.find(device) != std::string_view::npos);
    }
    uint32_t number = 0;
    if (grpcfd::ParseDriverLine(line, &number)) grpcfd::Check(line.find(std::to_string(number)) != std::string_view::npos);
  }
  if (!text.empty() && text.back() != '\n') lines.pop_back();
  grpcfd::Check(lines == text);
  return 0;
}
