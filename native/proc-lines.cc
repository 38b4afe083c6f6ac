#include "proc-lines.h"

#include <algorithm>
#include <charconv>

namespace grpcfd {
namespace {

// Takes what comes before the separator off the text, and the separators behind it.
std::string_view TakeField(std::string_view* text, char separator) {
  const std::string_view field = text->substr(0, text->find(separator));
  text->remove_prefix(field.size());
  text->remove_prefix(std::min(text->find_first_not_of(separator), text->size()));
  return field;
}

// All of the field has to be a number in decimal that fits.
template <typename Number>
bool ParseNumber(std::string_view field, Number* out) {
  const char* end = field.data() + field.size();
  const auto [rest, error] = std::from_chars(field.data(), end, *out);
  return error == std::errc() && rest == end;
}

}  // namespace

bool ParseMountLine(std::string_view line, MountLine* out) {
  if (!ParseNumber(TakeField(&line, ' '), &out->mount)) return false;
  TakeField(&line, ' ');
  std::string_view device = TakeField(&line, ' ');
  if (!ParseNumber(TakeField(&device, ':'), &out->device_major) || !ParseNumber(device, &out->device_minor)) return false;
  // The kernel writes a space within a path as \040.
  constexpr std::string_view kSeparator = " - ";
  const size_t separator = line.find(kSeparator);
  if (separator == std::string_view::npos) return false;
  line.remove_prefix(separator + kSeparator.size());
  out->type = TakeField(&line, ' ');
  return !out->type.empty();
}

bool ParseDriverLine(std::string_view line, uint32_t* device_major) {
  TakeField(&line, ' ');
  TakeField(&line, ' ');
  return ParseNumber(TakeField(&line, ' '), device_major);
}

bool TakeLine(std::string_view* text, std::string_view* line) {
  if (text->empty()) return false;
  *line = text->substr(0, text->find('\n'));
  text->remove_prefix(std::min(line->size() + 1, text->size()));
  return true;
}

}  // namespace grpcfd
