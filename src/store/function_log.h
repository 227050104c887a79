// What functions print, and what the platform tells about them: per function an append-only log on disk, in segment
// files of framed records {length, checksum, invocation, wall time, instance, stream, text}.
//
// Invariants:
//  1. A batch is one write(2) and is never flushed: SIGKILL of the daemon loses nothing written, a power failure may.
//  2. A record torn by a crash or a full disk is cut off before the next append and never shown.
//  3. Two segments at most, each of half the bound: the oldest half is dropped when the newer one is full.
// Appended by the node for every invocation that prints; read by `ebb logs`. Both block on the disk cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/result.h"

namespace ebb::store {

enum class LogStream : std::uint8_t { kOut = 1, kErr = 2, kPlatform = 3 };

/// "out", "err", "platform".
std::string_view name_of(LogStream stream);

struct LogLine {
  base::InvocationId invocation;  // all zero for what is printed outside an invocation, such as init in a zygote
  base::WallTime wall{};
  LogStream stream = LogStream::kOut;
  base::InstanceId instance{};
  std::string text;  // without the line end
};

/// A place between two records. Stays valid while lines are appended; one in a dropped segment reads from the oldest.
struct LogCursor {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  auto operator<=>(const LogCursor&) const = default;
};

/// "12-3456", as the REST interface hands it out. Errors: kInvalidArgument.
std::string to_string(LogCursor cursor);
base::Result<LogCursor> parse_log_cursor(std::string_view text);

struct LogFilter {
  std::optional<base::InvocationId> invocation;
  base::WallTime since{};
  LogCursor after;        // only what lies behind it
  std::size_t limit = 0;  // at most so many lines; 0 = all
  bool newest = false;    // with a limit: the last so many, instead of the first
};

/// Sees the lines in order; false stops.
using LogVisitor = std::function<bool(const LogLine&)>;

/// One function's log. Threads: any. Appends are serialised, reads run beside them.
class FunctionLog {
 public:
  explicit FunctionLog(std::filesystem::path directory, std::uint64_t bytes_max = limits::kLogBytesPerFunction);

  /// Appends the lines; one longer than limits::kLogLineBytes becomes several records.
  /// Errors: kUnavailable (disk full), kInternal; then nothing of the batch is kept.
  base::Result<void> append(std::span<const LogLine> lines);

  /// Visits what the filter selects; the answer is the cursor behind the last line visited or passed over.
  base::Result<LogCursor> read(const LogFilter& filter, const LogVisitor& visit);

 private:
  base::Result<void> open_newest() EBB_REQUIRES(mutex_);
  base::Result<void> start_segment() EBB_REQUIRES(mutex_);
  base::Result<void> write_batch(const std::string& batch) EBB_REQUIRES(mutex_);
  std::filesystem::path path_of(std::uint64_t segment) const;

  const std::filesystem::path directory_;
  const std::uint64_t segment_bytes_max_;
  base::Mutex mutex_;
  bool opened_ EBB_GUARDED_BY(mutex_) = false;
  std::uint64_t segment_ EBB_GUARDED_BY(mutex_) = 0;  // the newest; 0 when there is none yet
  std::uint64_t size_ EBB_GUARDED_BY(mutex_) = 0;     // its valid bytes
};

/// The logs of all functions, <directory>/<app>/<function>/. Threads: any.
class FunctionLogs {
 public:
  explicit FunctionLogs(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// As FunctionLog::append. `app` and `function` are valid names.
  base::Result<void> append(std::string_view app, std::string_view function, std::span<const LogLine> lines);
  /// As FunctionLog::read; a function that never printed has no lines.
  base::Result<LogCursor> read(std::string_view app, std::string_view function, const LogFilter& filter,
                               const LogVisitor& visit);
  /// Deletes a function's log, or with an empty function those of the whole app.
  base::Result<void> remove(std::string_view app, std::string_view function);

 private:
  std::shared_ptr<FunctionLog> log_of(std::string_view app, std::string_view function);

  const std::filesystem::path directory_;
  base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<FunctionLog>, std::less<>> logs_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::store
