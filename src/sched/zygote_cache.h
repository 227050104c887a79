// Which function loses its zygote when memory is short: the one whose memory buys the least.
//
// Greedy-dual with frequency and size: worth = clock + calls x start time / bytes; the clock is set to the worth of
// what was evicted last, so that what was popular long ago ages without anybody touching it. A use costs O(1): only its
// own worth is computed. Eviction looks at kSample entries drawn by a generator of its own (seeded, so a run can be
// repeated) and takes the least worthy that may go: O(1) too, where an exact heap would cost O(log n) at every call.
//
// Invariant: bytes() is the sum over the entries. Source: FaasCache (Fuerst and Sharma, ASPLOS 2021), greedy-dual
// (Cherkasova 1998); sampling as in Redis. Threads: as its owner.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"

namespace ebb::sched {

class ZygoteCache {
 public:
  using Key = std::uint32_t;
  static constexpr std::size_t kSample = 32;

  explicit ZygoteCache(base::Bytes budget) : budget_(budget) {}

  /// An entry is now resident with so many bytes, or has changed its size.
  void insert(Key key, base::Bytes bytes, base::Duration start_time);
  void erase(Key key);
  /// Calls came for it. Unknown keys are remembered too: how often they were called counts when they are resident.
  void used(Key key, std::uint32_t calls = 1);
  /// Pinned entries (with calls under way) are never evicted.
  void set_pinned(Key key, bool pinned);

  bool over_budget() const { return bytes_.count > budget_.count; }
  base::Bytes bytes() const { return bytes_; }
  base::Bytes budget() const { return budget_; }
  void set_budget(base::Bytes budget) { budget_ = budget; }
  /// What should go next; it stays until erase(). Nothing when all are pinned. Cost: O(kSample), in the worst case one
  /// pass over the entries.
  std::optional<Key> victim();

 private:
  struct Entry {
    double worth = 0;
    double start_seconds = 0;
    std::uint64_t bytes = 0;
    std::uint32_t calls = 0;
    std::uint32_t slot = kAbsent;  // in resident_
    bool pinned = false;
  };
  static constexpr std::uint32_t kAbsent = UINT32_MAX;

  Entry& entry(Key key);
  void appraise(Entry& entry) const;
  std::uint64_t draw();

  base::Bytes budget_;
  base::Bytes bytes_;
  double clock_ = 0;
  std::uint64_t random_ = 0x9E3779B97F4A7C15;
  std::vector<Entry> entries_;  // by key: keys are small numbers
  std::vector<Key> resident_;
};

}  // namespace ebb::sched
