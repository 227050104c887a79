#include "launcher/memory_watch.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/clock.h"

namespace ebb::launcher {
namespace {

using namespace std::chrono_literals;

constexpr auto kShortestPause = 10ms;
constexpr auto kLongestPause = 500ms;
constexpr std::uint64_t kGrowthPerMs = 2 << 20;  // of a processor that touches new pages; 1.3 GB/s measured
constexpr int kTimesTheLook = 50;

}  // namespace

std::chrono::nanoseconds pause_before_look(std::uint64_t left_bytes, std::chrono::nanoseconds look_took,
                                           unsigned processors) {
  const std::uint64_t growth_per_ms = kGrowthPerMs * std::max(1U, processors);
  const std::uint64_t enough_for_ms = std::min<std::uint64_t>(left_bytes / growth_per_ms, kLongestPause.count());
  const std::chrono::nanoseconds by_growth = std::chrono::milliseconds(enough_for_ms);
  return std::clamp<std::chrono::nanoseconds>(std::max(by_growth, look_took * kTimesTheLook), kShortestPause,
                                              kLongestPause);
}

MemoryWatch::MemoryWatch(Poller& poller, const os::CgroupTree& cgroups, std::uint64_t budget_bytes,
                         std::function<void()> memory_short)
    : poller_(poller),
      cgroups_(cgroups),
      startable_bytes_(startable_bytes(budget_bytes)),
      processors_(std::thread::hardware_concurrency()),
      memory_short_(std::move(memory_short)) {
  if (budget_bytes > 0) timer_ = poller_.after(kShortestPause, [this] { look(); });
}

void MemoryWatch::look() {
  const base::SteadyTime began = base::steady_now();
  const std::uint64_t used = cgroups_.memory_in_use("", startable_bytes_ + 1);
  const std::chrono::nanoseconds took = base::steady_now() - began;
  const std::uint64_t left = startable_bytes_ - std::min(used, startable_bytes_);
  timer_ = poller_.after(pause_before_look(left, took, processors_), [this] { look(); });
  if (used > startable_bytes_) memory_short_();
}

}  // namespace ebb::launcher
