// What a start printed last: of one that fails it is told beside the reason, for that is often all that its author
// needs.
//
// 1. The newest lines of both streams together, limits::kLastWordsBytes of them at most.
// 2. A start that has come through has none: nothing is kept of it from then on.
// 3. They are the last ones also of a start that prints more than is kept of its output.
// Filled by the sinks of output pipes, read by node when the start has failed. Threads: any.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits_programs.h"
#include "base/mutex.h"

namespace ebb::sandbox {

class LastWords {
 public:
  /// Lines without their line breaks, in the order in which they were printed.
  void add(const std::vector<std::string>& lines) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    if (forgotten_) return;
    for (const std::string& line : lines) {
      lines_.push_back(line.substr(0, limits::kLastWordsBytes - 1));
      bytes_ += lines_.back().size() + 1;
      while (bytes_ > limits::kLastWordsBytes) {
        bytes_ -= lines_.front().size() + 1;
        lines_.pop_front();
      }
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
    for (const std::string& line : lines_) {
      const bool repeats = &line == &lines_.back() && !line.empty() && error.ends_with(line);
      if (!repeats) all.append(line).append("\n");
    }
    return all;
  }

 private:
  mutable base::Mutex mutex_;
  std::deque<std::string> lines_ EBB_GUARDED_BY(mutex_);
  std::size_t bytes_ EBB_GUARDED_BY(mutex_) = 0;
  bool forgotten_ EBB_GUARDED_BY(mutex_) = false;
};

}  // namespace ebb::sandbox
