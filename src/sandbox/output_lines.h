// What user code printed, cut into lines and bounded: the same for what comes through a pipe and for what comes in
// frames.
//
// 1. Of one invocation at most limits::kLogBytesPerInvocation are kept; the rest is counted and dropped, so that a
//    function that prints a gigabyte fills no disk.
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

namespace ebb::sandbox {

class OutputLines {
 public:
  /// From here on it is another invocation's, of which as much is kept again.
  void begin() { kept_ = 0; }

  void add(std::string_view text) {
    const std::size_t room =
        limits::kLogBytesPerInvocation - std::min<std::uint64_t>(kept_, limits::kLogBytesPerInvocation);
    if (text.size() > room) {
      dropped_ += text.size() - room;
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
  }

  /// A line that has no end is one all the same.
  void finish() {
    if (!partial_.empty()) lines_.push_back(std::exchange(partial_, {}));
  }

  /// What is whole, without the line breaks.
  std::vector<std::string> take() { return std::exchange(lines_, {}); }

  bool floods() const { return dropped_ > 0; }
  /// Bytes dropped since it was called last.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  std::uint64_t kept_ = 0;
  std::uint64_t dropped_ = 0;
  std::string partial_;
  std::vector<std::string> lines_;
};

}  // namespace ebb::sandbox
