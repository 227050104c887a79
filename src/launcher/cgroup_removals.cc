#include "launcher/cgroup_removals.h"

#include "base/limits.h"
#include "base/log.h"

namespace ebb::launcher {
namespace {
constexpr std::chrono::milliseconds kRetry(20);
constexpr std::size_t kAtOnce = 8;  // 0.1 ms each on four v1 hierarchies: the loop stands still no longer than that
}  // namespace

void CgroupRemovals::add(std::string path) {
  waiting_.push_back({.path = std::move(path), .give_up = base::steady_now() + limits::kCgroupRemoveTimeout});
  schedule(kRetry);
}

void CgroupRemovals::keep(std::string_view path) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.path == path; });
}

void CgroupRemovals::schedule(std::chrono::milliseconds delay) {
  if (retry_ == Poller::Timer::kNone) retry_ = poller_.after(delay, [this] { remove_some(); });
}

void CgroupRemovals::remove_some() {
  retry_ = Poller::Timer::kNone;
  bool progress = false;
  for (std::size_t left = std::min(kAtOnce, waiting_.size()); left > 0; --left) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (cpu_ != nullptr) cpu_->note(next.path);
    const base::Result<> removed = cgroups_.remove(next.path);
    if (removed) {
      progress = true;
      if (cpu_ != nullptr) cpu_->removed(next.path);
    } else if (base::steady_now() < next.give_up) {
      cgroups_.kill_members(next.path);
      waiting_.push_back(std::move(next));
    } else {
      base::log(base::LogLevel::kWarning, "cgroup left behind", {{"error", removed.error().message}});
    }
  }
  if (!waiting_.empty()) schedule(progress ? std::chrono::milliseconds(1) : kRetry);
}

}  // namespace ebb::launcher
