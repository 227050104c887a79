#include "meter/held_count.h"

#include <algorithm>

namespace ebb::meter {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;

std::uint64_t nanoseconds(base::Duration time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
}

}  // namespace

void HeldCount::advance(base::SteadyTime now, const Processes& processes) {
  const std::uint64_t since = nanoseconds(now - counted_at_);
  counted_at_ = std::max(counted_at_, now);
  for (std::size_t i = 0; i < ns_.size(); ++i) ns_[i] += processes[i] * since;
}

void HeldCount::add_memory(model::HeldTier tier, base::Bytes bytes, base::Duration time) {
  byte_ns_[static_cast<std::size_t>(tier)] += Sum{bytes.count} * nanoseconds(time);
}

std::optional<HeldCount::Stretch> HeldCount::take(base::SteadyTime now, base::WallTime wall) {
  Stretch stretch{.begun = begun_, .begun_at = begun_at_, .use = {}};
  stretch.use.for_ms = nanoseconds(now - begun_at_) / kNsPerMs;
  begun_at_ = now;
  begun_ = wall;
  for (std::size_t i = 0; i < ns_.size(); ++i) {
    stretch.use.ms[i] = ns_[i] / kNsPerMs;
    ns_[i] %= kNsPerMs;
    stretch.use.byte_ms[i] = static_cast<std::uint64_t>(byte_ns_[i] / kNsPerMs);
    byte_ns_[i] %= kNsPerMs;
  }
  const model::HeldUse nothing{.for_ms = stretch.use.for_ms};
  if (stretch.use == nothing) return std::nullopt;
  return stretch;
}

void HeldCount::give_back(const Stretch& stretch) {
  begun_at_ = stretch.begun_at;
  begun_ = stretch.begun;
  for (std::size_t i = 0; i < ns_.size(); ++i) {
    ns_[i] += stretch.use.ms[i] * kNsPerMs;
    byte_ns_[i] += Sum{stretch.use.byte_ms[i]} * kNsPerMs;
  }
}

}  // namespace ebb::meter
