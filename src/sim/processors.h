// The processors of a simulated machine: what starts and computes at one time shares them. Of n pieces of work each
// gets its part, and never more than one processor: min(1, processors / n) (processor sharing; Kleinrock, 1967).
//
// A piece of work is told by what comes of it, a value of `Done`. Pure; O(log n) to begin and to end one. Equal times
// end in the order in which they began. Called by Machine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

namespace ebb::sim {

template <typename Done>
class Processors {
 public:
  /// `count` may be a fraction; 0 is as many as there is work.
  explicit Processors(double count) : count_(count) {}

  /// Work that takes so long alone. `now` never falls, here and below.
  void begin(std::int64_t now, std::int64_t alone_ns, Done done) {
    advance(now);
    work_.push({.ends = given_ + static_cast<double>(alone_ns), .order = order_++, .done = std::move(done)});
  }

  /// When the next piece ends if no other begins; INT64_MAX without any.
  std::int64_t next_end() const {
    if (work_.empty()) return INT64_MAX;
    const double left = std::max(0.0, work_.top().ends - given_) / rate();
    return at_ + static_cast<std::int64_t>(std::ceil(left));
  }

  /// What has ended by `now`, which is at most next_end().
  std::vector<Done> take_ended(std::int64_t now) {
    advance(now);
    std::vector<Done> ended;
    constexpr double kRounding = 1;  // ns
    while (!work_.empty() && work_.top().ends <= given_ + kRounding) {
      ended.push_back(work_.top().done);
      work_.pop();
    }
    return ended;
  }

  std::size_t size() const { return work_.size(); }

  /// For how long, until now, there was more work than processors, in ns.
  double stalled(std::int64_t now) {
    advance(now);
    return stalled_;
  }

 private:
  struct Work {
    double ends;  // in what each piece has been given since the beginning
    std::uint64_t order;
    Done done;
    bool operator<(const Work& other) const { return ends != other.ends ? ends > other.ends : order > other.order; }
  };

  double rate() const {
    return count_ <= 0 || work_.empty() ? 1 : std::min(1.0, count_ / static_cast<double>(work_.size()));
  }
  void advance(std::int64_t now) {
    const auto passed = static_cast<double>(std::max<std::int64_t>(0, now - at_));
    given_ += passed * rate();
    if (count_ > 0 && static_cast<double>(work_.size()) > count_) stalled_ += passed;
    at_ = std::max(at_, now);
  }

  double count_;
  double given_ = 0;  // ns of a processor that a piece has got that was there all the time
  double stalled_ = 0;
  std::int64_t at_ = 0;  // until when that is added up
  std::uint64_t order_ = 0;
  std::priority_queue<Work> work_;
};

}  // namespace ebb::sim
