// How many spares (spares.h) the functions of a node keep together, and in how much memory.
//
// What one uses is known once it is ready; so the sum may pass the bound by what those that start at one time turn out
// to use, and then no other is started. Pure; O(1). Called by whoever owns the dispatchers of a node: before a spare is
// started, and when it is none any more.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace ebb::sched {

class SpareBounds {
 public:
  /// `memory_most` 0: no bound but the count.
  SpareBounds(std::uint32_t most, base::Bytes memory_most) : most_(most), memory_most_(memory_most) {}

  /// For one that is expected to use so much. False, and nothing is taken, when there is no room.
  bool take(base::Bytes expected) {
    if (taken_ >= most_) return false;
    if (memory_most_.count > 0 && bytes_.count + expected.count > memory_most_.count) return false;
    ++taken_;
    bytes_.count += expected.count;
    return true;
  }
  /// It turned out to use so much.
  void resize(base::Bytes before, base::Bytes after) { bytes_.count = bytes_.count - before.count + after.count; }
  void give_back(base::Bytes bytes) {
    --taken_;
    bytes_.count -= bytes.count;
  }

  std::uint32_t taken() const { return taken_; }
  std::uint32_t most() const { return most_; }

 private:
  std::uint32_t most_;
  base::Bytes memory_most_;
  std::uint32_t taken_ = 0;
  base::Bytes bytes_;
};

}  // namespace ebb::sched
