// What user code printed, cut into lines and bounded: the same for what comes through a pipe and for what comes in
// frames.
//
// 1. Of one invocation at most limits::kLogBytesPerInvocation are kept; the rest is counted and dropped, so that a
//    function that prints a gigabyte fills no disk. Only the newest lines of the rest can be had, until more is added:
//    they are what matters of a program that then ends.
// 2. Lines have at most limits::kLogLineBytes; control bytes are kept as they are, the reader escapes them.
// Called by OutputPipe, and by node for the calls of an instance that serves several at a time. Single thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/limits_programs.h"

namespace ebb::sandbox {

class OutputLines {
 public:
  /// From here on it is another invocation's, of which as much is kept again.
  void begin() {
    kept_ = 0;
    rest_.clear();
  }

  void add(std::string_view text) {
    const std::size_t room =
        limits::kLogBytesPerInvocation - std::min<std::uint64_t>(kept_, limits::kLogBytesPerInvocation);
    const bool full = text.size() > room;
    if (full) {
      drop(text.substr(room));
      text = text.substr(0, room);
    }
    kept_ += text.size();
    while (!text.empty()) {
      const std::size_t end_of_line = text.find('\n');
      const std::size_t take = std::min({end_of_line, text.size(), limits::kLogLineBytes - partial_.size()});
      partial_.append(text.substr(0, take));
      const bool whole = take == end_of_line;
      text.remove_prefix(whole ? take + 1 : take);
      if (whole || partial_.size() >= limits::kLogLineBytes) lines_.push_back(std::exchange(partial_, {}));
    }
    if (full) end_line();  // its end is not kept
  }

  /// A line that has no end is one all the same.
  void finish() {
    end_line();
    if (!rest_.empty() && !rest_.ends_with('\n')) rest_ += '\n';
  }

  /// What is whole, without the line breaks.
  std::vector<std::string> take() { return std::exchange(lines_, {}); }

  /// Of what was dropped: the newest whole lines, limits::kLastWordsBytes of them at most.
  std::vector<std::string> take_rest() {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      lines.push_back(rest_.substr(begin, end - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    return lines;
  }

  bool floods() const { return dropped_ > 0; }
  /// Bytes dropped since it was called last.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  void end_line() {
    if (!partial_.empty()) lines_.push_back(std::exchange(partial_, {}));
  }

  void drop(std::string_view text) {
    constexpr std::size_t kMost = limits::kLastWordsBytes;
    dropped_ += text.size();
    const bool cut = rest_.size() + text.size() > kMost;
    rest_.append(text.substr(text.size() - std::min(text.size(), kMost)));
    if (!cut) return;
    rest_.erase(0, rest_.size() - kMost);
    // The first of them lacks its beginning: left out, where there is another.
    const std::size_t first = rest_.find('\n');
    if (first != std::string::npos && first + 1 < rest_.size()) rest_.erase(0, first + 1);
  }

  std::uint64_t kept_ = 0;
  std::uint64_t dropped_ = 0;
  std::string partial_;
  std::string rest_;
  std::vector<std::string> lines_;
};

}  // namespace ebb::sandbox
