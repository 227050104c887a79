#include "base/log.h"

#include <unistd.h>

#include <cstdio>

#include "base/clock.h"

namespace ebb::base {
namespace {

LogLevel minimum = LogLevel::kInfo;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "error";
}

// A value can come from a function or a client: no line break or control byte of theirs reaches the log.
std::string escaped(std::string_view value) {
  std::string text;
  bool quote = value.empty();
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", byte);
      text += hex;
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    if (c == ' ' || c == '=') quote = true;
    text += c;
  }
  return quote ? '"' + text + '"' : text;
}

}  // namespace

LogField::LogField(std::string_view key, std::string_view value) : key_(key), value_(escaped(value)) {}
LogField::LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
LogField::LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
LogField::LogField(std::string_view key, double value) : key_(key) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3f", value);
  value_ = text;
}
LogField::LogField(std::string_view key, std::int64_t value) : key_(key), value_(std::to_string(value)) {}
LogField::LogField(std::string_view key, std::uint64_t value) : key_(key), value_(std::to_string(value)) {}

void set_log_level(LogLevel level) { minimum = level; }

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < minimum) return;
  std::string line = to_rfc3339(wall_now());
  line += ' ';
  line += name_of(level);
  line += ' ';
  line += event;
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key();
    line += '=';
    line += field.value();
  }
  line += '\n';
  // A full or closed standard error must not stop the daemon.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace ebb::base
