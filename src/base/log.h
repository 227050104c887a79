// The daemon's own log: one line per event, a stable lower-case event name, then key=value fields, to standard error.
// Not for what functions print (store/function_log.h). Nothing is logged on the warm path at info.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ebb::base {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

class LogField {
 public:
  LogField(std::string_view key, std::string_view value);
  LogField(std::string_view key, const char* value);
  LogField(std::string_view key, const std::string& value);
  LogField(std::string_view key, double value);
  LogField(std::string_view key, std::int64_t value);
  LogField(std::string_view key, std::uint64_t value);
  LogField(std::string_view key, int value) : LogField(key, std::int64_t{value}) {}
  LogField(std::string_view key, unsigned value) : LogField(key, std::uint64_t{value}) {}

  std::string_view key() const { return key_; }
  const std::string& value() const { return value_; }

 private:
  std::string_view key_;
  std::string value_;  // control characters escaped, quoted when it holds a space
};

/// Lines below the level are not written. Default kInfo. Threads: call once, before others start.
void set_log_level(LogLevel level);

/// Writes one line in one write(2). Threads: any.
[[gnu::cold]] void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace ebb::base
