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
      lines_.push_back({.from = from, .text = line.substr(0, limits::kLastWordsBytes - 1)});
      bytes_of(from) += lines_.back().text.size() + 1;
      while (bytes_of(From::kOut) + bytes_of(From::kErr) > limits::kLastWordsBytes) drop_one();
    }
  }

  /// The start has come through.
  void forget() EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    forgotten_ = true;
    lines_.clear();
  }

  /// All of them, each with its line break. A last line that only repeats the end of the error they stand beside is
  /// left out.
  std::string text(std::string_view error) const EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    std::string all;
    for (const Line& line : lines_) {
      const bool repeats = &line == &lines_.back() && !line.text.empty() && error.ends_with(line.text);
      if (!repeats) all.append(line.text).append("\n");
    }
    return all;
  }

 private:
  struct Line {
    From from;
    std::string text;
  };

  std::size_t& bytes_of(From from) EBB_REQUIRES(mutex_) { return bytes_[static_cast<std::size_t>(from)]; }

  // The oldest of the stream that has more.
  void drop_one() EBB_REQUIRES(mutex_) {
    const From more = bytes_of(From::kOut) > bytes_of(From::kErr) ? From::kOut : From::kErr;
    const auto oldest =
        std::find_if(lines_.begin(), lines_.end(), [more](const Line& line) { return line.from == more; });
    bytes_of(more) -= oldest->text.size() + 1;
    lines_.erase(oldest);
  }

  mutable base::Mutex mutex_;
  std::deque<Line> lines_ EBB_GUARDED_BY(mutex_);
  std::array<std::size_t, 2> bytes_ EBB_GUARDED_BY(mutex_){};  // of each stream's, with their line breaks
  bool forgotten_ EBB_GUARDED_BY(mutex_) = false;
};

}  // namespace ebb::sandbox
