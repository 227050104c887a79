#include "store/function_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <deque>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "os/fd.h"
#include "store/log_record.h"

namespace ebb::store {
namespace {

namespace fs = std::filesystem;
using base::Result;

constexpr std::string_view kPrefix = "log-";
constexpr std::string_view kSuffix = ".ebb";
constexpr std::size_t kReadBytes = 256 * 1024;  // holds any record

// The numbers of the segments in a directory, ascending; none when there is no directory.
std::vector<std::uint64_t> list_segments(const fs::path& directory) {
  std::vector<std::uint64_t> segments;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec); !ec && it != fs::directory_iterator(); it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string_view digits =
        std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
    std::uint64_t number = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (code == std::errc{} && end == digits.data() + digits.size() && number > 0) segments.push_back(number);
  }
  std::sort(segments.begin(), segments.end());
  return segments;
}

// Walks the records of one open segment from `offset` to at most `end`; answers where the valid records end.
// `visit` gets a line and the offset behind it; false stops there.
template <typename Visit>
Result<std::uint64_t> walk_segment(int fd, std::uint64_t offset, std::uint64_t end, Visit visit) {
  std::string buffer(kReadBytes, '\0');
  while (offset < end) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), end - offset));
    const ssize_t got = pread(fd, buffer.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::os_error("read function log", errno);
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    const std::uint64_t before = offset;
    while (auto record = decode_log_record(bytes)) {
      bytes.remove_prefix(record->bytes);
      offset += record->bytes;
      if (!visit(record->line, offset)) return offset;
    }
    if (offset == before) return offset;  // the rest is torn
  }
  return offset;
}

}  // namespace

std::string_view name_of(LogStream stream) {
  switch (stream) {
    case LogStream::kOut: return "out";
    case LogStream::kErr: return "err";
    case LogStream::kPlatform: return "platform";
  }
  return "";
}

std::string to_string(LogCursor cursor) { return std::to_string(cursor.segment) + "-" + std::to_string(cursor.offset); }

Result<LogCursor> parse_log_cursor(std::string_view text) {
  LogCursor cursor;
  const char* end = text.data() + text.size();
  const auto [dash, first] = std::from_chars(text.data(), end, cursor.segment);
  if (first == std::errc{} && dash != end && *dash == '-') {
    const auto [rest, second] = std::from_chars(dash + 1, end, cursor.offset);
    if (second == std::errc{} && rest == end) return cursor;
  }
  return base::invalid_argument("'" + std::string(text.substr(0, 64)) +
                                "' is not a log cursor, use one from an answer");
}

FunctionLog::FunctionLog(fs::path directory, std::uint64_t bytes_max)
    : directory_(std::move(directory)), segment_bytes_max_(bytes_max / 2) {
  EBB_CHECK(segment_bytes_max_ > 0);
}

fs::path FunctionLog::path_of(std::uint64_t segment) const {
  char name[40];
  std::snprintf(name, sizeof name, "log-%010llu.ebb", static_cast<unsigned long long>(segment));
  return directory_ / name;
}

// Once per log and life of the process: finds the newest segment and cuts a torn tail off.
Result<void> FunctionLog::open_newest() {
  if (opened_) return {};
  const auto segments = list_segments(directory_);
  if (!segments.empty()) {
    const os::Fd fd(::open(path_of(segments.back()).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct stat status{};
    if (!fd.valid() || fstat(fd.get(), &status) != 0) return base::os_error("open function log", errno);
    const auto file_size = static_cast<std::uint64_t>(status.st_size);
    EBB_TRY(const std::uint64_t valid,
            walk_segment(fd.get(), 0, file_size, [](const LogLine&, std::uint64_t) { return true; }));
    if (valid < file_size && ftruncate(fd.get(), static_cast<off_t>(valid)) != 0) {
      return base::os_error("truncate function log", errno);
    }
    segment_ = segments.back();
    size_ = valid;
  }
  opened_ = true;
  return {};
}

// Makes the next segment the newest and drops all but the one before it.
Result<void> FunctionLog::start_segment() {
  std::error_code ec;
  fs::create_directories(directory_, ec);
  if (ec) return base::os_error("create " + directory_.string(), ec.value());
  const os::Fd fd(::open(path_of(segment_ + 1).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!fd.valid()) return base::os_error("create function log", errno);
  for (const std::uint64_t old : list_segments(directory_)) {
    if (old < segment_) fs::remove(path_of(old), ec);  // tried again at the next segment
  }
  ++segment_;
  size_ = 0;
  return {};
}

Result<void> FunctionLog::write_batch(const std::string& batch) {
  if (batch.empty()) return {};
  if (segment_ == 0 || (size_ > 0 && size_ + batch.size() > segment_bytes_max_)) EBB_CHECKED(start_segment());
  const os::Fd fd(::open(path_of(segment_).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return base::os_error("open function log", errno);
  std::size_t done = 0;
  while (done < batch.size()) {
    const ssize_t put = pwrite(fd.get(), batch.data() + done, batch.size() - done, static_cast<off_t>(size_ + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      base::Error error = base::os_error("append to function log", errno);
      if (errno == ENOSPC || errno == EDQUOT) error.code = base::Code::kUnavailable;
      // The part that was written must not stand before the next batch. If this fails too, its checksum tells.
      (void)!ftruncate(fd.get(), static_cast<off_t>(size_));
      return error;
    }
    done += static_cast<std::size_t>(put);
  }
  size_ += batch.size();
  return {};
}

Result<void> FunctionLog::append(std::span<const LogLine> lines) {
  std::string batch;
  base::MutexLock lock(mutex_);
  EBB_CHECKED(open_newest());
  for (const LogLine& line : lines) {
    std::string_view text = line.text;
    do {
      const std::string_view piece = text.substr(0, limits::kLogLineBytes);
      // A batch larger than a segment is written in parts, so that the bound on the disk holds.
      if (!batch.empty() && batch.size() + piece.size() + kLogFrameBytes + kLogPayloadFixedBytes > segment_bytes_max_) {
        EBB_CHECKED(write_batch(batch));
        batch.clear();
      }
      append_log_record(batch, line, piece);
      text.remove_prefix(piece.size());
    } while (!text.empty());
  }
  return write_batch(batch);
}

Result<LogCursor> FunctionLog::read(const LogFilter& filter, const LogVisitor& visit) {
  // Under the lock only: which segments there are, opened so that dropping them does not disturb, and where they end.
  struct Part {
    std::uint64_t segment;
    os::Fd fd;
    std::uint64_t end;
  };
  std::vector<Part> parts;
  {
    base::MutexLock lock(mutex_);
    EBB_CHECKED(open_newest());
    for (const std::uint64_t segment : list_segments(directory_)) {
      os::Fd fd(::open(path_of(segment).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      struct stat status{};
      if (!fd.valid() || fstat(fd.get(), &status) != 0) return base::os_error("open function log", errno);
      const auto end = segment == segment_ ? size_ : static_cast<std::uint64_t>(status.st_size);
      parts.push_back({segment, std::move(fd), end});
    }
  }
  // Calls back with each selected line and the cursors before and behind it.
  const auto walk = [&](LogCursor from, auto&& each) -> Result<LogCursor> {
    LogCursor at = from;
    for (const Part& part : parts) {
      if (part.segment < from.segment) continue;
      const std::uint64_t start = part.segment == from.segment ? from.offset : 0;
      at = {part.segment, start};
      bool more = true;
      EBB_CHECKED(walk_segment(part.fd.get(), start, part.end, [&](const LogLine& line, std::uint64_t behind) {
        const LogCursor before = at;
        at.offset = behind;
        if (filter.invocation && line.invocation != *filter.invocation) return true;
        if (line.wall < filter.since) return true;
        more = each(line, before);
        return more;
      }));
      if (!more) break;
    }
    return at;
  };
  LogCursor from = filter.after;
  // A cursor from before the log was removed: what there is now is all new.
  if (parts.empty() || from.segment > parts.back().segment) from = {};
  if (filter.newest && filter.limit > 0) {
    // First only where the last so many begin, then they themselves: a line may have 64 KiB, a cursor has 16 bytes.
    std::deque<LogCursor> last;
    EBB_CHECKED(walk(from, [&](const LogLine&, LogCursor before) {
      last.push_back(before);
      if (last.size() > filter.limit) last.pop_front();
      return true;
    }));
    if (!last.empty()) from = last.front();
  }
  std::size_t seen = 0;
  return walk(from, [&](const LogLine& line, LogCursor) {
    return visit(line) && (++seen < filter.limit || filter.limit == 0);
  });
}

std::shared_ptr<FunctionLog> FunctionLogs::log_of(std::string_view app, std::string_view function) {
  const std::string name = std::string(app) + "/" + std::string(function);
  base::MutexLock lock(mutex_);
  auto& log = logs_[name];
  if (log == nullptr) log = std::make_shared<FunctionLog>(directory_ / name);
  return log;
}

Result<void> FunctionLogs::append(std::string_view app, std::string_view function, std::span<const LogLine> lines) {
  return log_of(app, function)->append(lines);
}

Result<LogCursor> FunctionLogs::read(std::string_view app, std::string_view function, const LogFilter& filter,
                                     const LogVisitor& visit) {
  return log_of(app, function)->read(filter, visit);
}

Result<void> FunctionLogs::remove(std::string_view app, std::string_view function) {
  const std::string name = function.empty() ? std::string(app) : std::string(app) + "/" + std::string(function);
  base::MutexLock lock(mutex_);
  std::erase_if(logs_, [&](const auto& entry) { return entry.first == name || entry.first.starts_with(name + "/"); });
  std::error_code ec;
  fs::remove_all(directory_ / name, ec);
  if (ec) return base::os_error("remove log " + name, ec.value());
  return {};
}

}  // namespace ebb::store
