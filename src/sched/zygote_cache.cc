#include "sched/zygote_cache.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace ebb::sched {

ZygoteCache::Entry& ZygoteCache::entry(Key key) {
  if (key >= entries_.size()) entries_.resize(std::size_t{key} + 1);
  return entries_[key];
}

void ZygoteCache::appraise(Entry& entry) const {
  const double megabytes = std::max(1.0, static_cast<double>(entry.bytes) / (1 << 20));
  entry.worth = clock_ + entry.calls * entry.start_seconds / megabytes;
}

void ZygoteCache::insert(Key key, base::Bytes bytes, base::Duration start_time) {
  Entry& one = entry(key);
  if (one.slot == kAbsent) {
    one.slot = static_cast<std::uint32_t>(resident_.size());
    resident_.push_back(key);
    one.bytes = 0;
  }
  bytes_.count += bytes.count - one.bytes;  // unsigned wrap-around cancels out
  one.bytes = bytes.count;
  one.start_seconds = std::chrono::duration<double>(start_time).count();
  appraise(one);
}

void ZygoteCache::erase(Key key) {
  Entry& one = entry(key);
  if (one.slot == kAbsent) return;
  const Key last = resident_.back();
  resident_[one.slot] = last;
  entries_[last].slot = one.slot;
  resident_.pop_back();
  EBB_CHECK(bytes_.count >= one.bytes);
  bytes_.count -= one.bytes;
  one.slot = kAbsent;
  one.bytes = 0;
  one.calls = 0;  // as greedy-dual wants it: the count is of one stay in memory
}

void ZygoteCache::used(Key key, std::uint32_t calls) {
  Entry& one = entry(key);
  one.calls += calls;
  appraise(one);
}

void ZygoteCache::set_pinned(Key key, bool pinned) { entry(key).pinned = pinned; }

std::uint64_t ZygoteCache::draw() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

std::optional<ZygoteCache::Key> ZygoteCache::victim() {
  if (resident_.empty()) return std::nullopt;
  std::optional<Key> least;
  const auto consider = [&](Key key) {
    if (!entries_[key].pinned && (!least || entries_[key].worth < entries_[*least].worth)) least = key;
  };
  if (resident_.size() <= kSample) {
    for (const Key key : resident_) consider(key);
  } else {
    for (std::size_t i = 0; i < kSample; ++i) consider(resident_[draw() % resident_.size()]);
    if (!least) {
      for (const Key key : resident_) consider(key);
    }
  }
  if (least) clock_ = std::max(clock_, entries_[*least].worth);
  return least;
}

}  // namespace ebb::sched
