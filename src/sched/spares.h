// Whether a function version keeps a spare: an instance that is started ahead, its program booted and its function
// loaded, and that served nobody yet. The first call that finds nobody idle takes it.
//
// 1. Only where loading takes long in each instance (Node, programs, what no zygote can fork): the median of the last
//    loads says so, before there are any what the zygote's own trial took. Where instances are forked loaded a spare
//    would spare nothing but a fork.
// 2. One that failed to start, or ended while it waited, is not followed by another until an instance has started for a
//    call: init that crashes is not run again and again for nobody.
// 3. One that was given up for others' sake is not followed by another until the next call.
// So spares are started at most once per zygote and once per call. Pure; O(1); no allocation. Called by Dispatcher.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/duration.h"

namespace ebb::sched {

class Spares {
 public:
  /// `from`: the loading time that is worth a spare; Duration::max(): none ever.
  explicit Spares(base::Duration from) : from_(from) {}

  /// What instances are likely to take, before any has told.
  void expect(base::Duration loading) { loads_.fill(loading); }
  /// What one took.
  void loaded(base::Duration loading) {
    loads_[next_] = loading;
    next_ = (next_ + 1) % loads_.size();
  }

  void zygote_ready() { missing_ = Missing::kNothing; }
  void call_arrived() {
    if (missing_ == Missing::kCall) missing_ = Missing::kNothing;
  }
  /// An instance started for a call.
  void started() { missing_ = Missing::kNothing; }
  void failed() { missing_ = Missing::kStart; }
  void given_up() {
    if (missing_ == Missing::kNothing) missing_ = Missing::kCall;
  }
  /// Whether any may be kept at all, from now on.
  void allow(bool allowed) { allowed_ = allowed; }
  bool is_never() const { return !allowed_ || from_ == base::Duration::max(); }

  /// Loading is worth a spare.
  bool long_enough() const { return median() >= from_; }
  bool wanted() const { return missing_ == Missing::kNothing && !is_never() && long_enough(); }

 private:
  enum class Missing : std::uint8_t { kNothing, kCall, kStart };

  base::Duration median() const {
    auto sorted = loads_;
    std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
    return sorted[sorted.size() / 2];
  }

  base::Duration from_;
  bool allowed_ = true;
  Missing missing_ = Missing::kNothing;
  std::array<base::Duration, 5> loads_{};  // one slow or lucky start decides nothing
  std::size_t next_ = 0;
};

}  // namespace ebb::sched
