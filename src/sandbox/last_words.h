// What a start printed last: of one that fails it is told beside the reason, for that is often all that its author
// needs.
//
// 1. The newest lines of both streams together, limits::kLastWordsBytes of them at most. Neither stream takes more than
//    half of that from the other: what a program has yet to flush comes after the traceback of its end.
// 2. A start that has come through has none: nothing is kept of it from then on.
// 3. They are the last ones also of a start that prints more than is kept of its output.
// Filled by the sinks of output pipes, read by node when the start has failed. Threads: any.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits_programs.h"
#include "base/mutex.h"

namespace ebb::sandbox {

class LastWords {
 public:
  enum class From : std::size_t { kOut, kErr };

  /// Lines without their line breaks, in the order in which they were printed.
  void add(From from, const std::vector<std::string>& lines) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    if (forgotten_) return;
    for (const std::string& line : lines) {
      Stream& stream = streams_[static_cast<std::size_t>(from)];
      stream.lines.push_back({.place = ++printed_, .text = line.substr(0, limits::kLastWordsBytes - 1)});
      stream.bytes += stream.lines.back().text.size() + 1;
      while (streams_[0].bytes + streams_[1].bytes > limits::kLastWordsBytes) drop_one();
    }
  }

  /// The start has come through.
  void forget() EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    forgotten_ = true;
    streams_ = {};
  }

  /// All of them, each with its line break. A last line that only repeats the end of the error they stand beside is
  /// left out.
  std::string text(std::string_view error) const EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    std::vector<const Line*> lines;
    for (const Stream& stream : streams_) {
      for (const Line& line : stream.lines) lines.push_back(&line);
    }
    std::sort(lines.begin(), lines.end(), [](const Line* one, const Line* other) { return one->place < other->place; });
    std::string all;
    for (const Line* line : lines) {
      const bool repeats = line == lines.back() && !line->text.empty() && error.ends_with(line->text);
      if (!repeats) all.append(line->text).append("\n");
    }
    return all;
  }

 private:
  struct Line {
    std::uint64_t place;  // among those of both streams
    std::string text;
  };
  struct Stream {
    std::deque<Line> lines;
    std::size_t bytes = 0;  // with their line breaks
  };

  // The oldest of the stream that has more.
  void drop_one() EBB_REQUIRES(mutex_) {
    Stream& more = streams_[0].bytes > streams_[1].bytes ? streams_[0] : streams_[1];
    more.bytes -= more.lines.front().text.size() + 1;
    more.lines.pop_front();
  }

  mutable base::Mutex mutex_;
  std::array<Stream, 2> streams_ EBB_GUARDED_BY(mutex_){};
  std::uint64_t printed_ EBB_GUARDED_BY(mutex_) = 0;
  bool forgotten_ EBB_GUARDED_BY(mutex_) = false;
};

}  // namespace ebb::sandbox
