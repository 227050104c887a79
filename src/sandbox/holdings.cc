#include "sandbox/holdings.h"

#include <chrono>
#include <utility>

#include "base/bytes.h"

namespace ebb::sandbox {

namespace {

base::Error full(const HoldingBounds& bounds, base::Code code, const std::string& whose, std::uint64_t bytes) {
  return base::Error{.code = code,
                     .message = "the node holds as much of the " + std::string(bounds.what) + " of " + whose +
                                " as it may, " + base::to_string(base::Bytes{bytes}) + std::string(bounds.remedy),
                     .retry_after = std::chrono::seconds(1)};
}

}  // namespace

Held::Held(Held&& other) noexcept : app_(other.app_), counted_(std::exchange(other.counted_, std::uint64_t{0})) {}

base::Result<> Held::grow_to(std::uint64_t bytes) {
  const HoldingBounds& bounds = app_->bounds;
  if (bytes <= bounds.free_bytes || bytes <= counted_) return {};
  const std::uint64_t more = bytes - counted_;
  bool app_full = false;
  {
    base::MutexLock lock(app_->node->mutex);
    const std::uint64_t of_app = app_->bytes + more;
    const std::uint64_t of_all = app_->node->bytes + more;
    app_full = of_app > bounds.app_bytes;
    const bool node_full = of_all > bounds.node_bytes && of_app > bounds.largest_bytes;
    if (!app_full && !node_full) {
      app_->bytes = of_app;
      app_->node->bytes = of_all;
      counted_ = bytes;
      return {};
    }
  }
  if (app_full) return full(bounds, bounds.app_full, std::string(bounds.before) + app_->app, bounds.app_bytes);
  return full(bounds, base::Code::kResourceExhausted, bounds.before.empty() ? "everybody" : "all apps",
              bounds.node_bytes);
}

void Held::release() {
  if (counted_ == 0) return;
  base::MutexLock lock(app_->node->mutex);
  app_->bytes -= counted_;
  app_->node->bytes -= counted_;
  counted_ = 0;
}

std::shared_ptr<HeldOfApp> Holdings::of(const std::string& app) {
  base::MutexLock lock(mutex_);
  std::weak_ptr<HeldOfApp>& known = apps_[app];
  std::shared_ptr<HeldOfApp> held = known.lock();
  if (!held) {
    std::erase_if(apps_, [&](const auto& one) { return one.first != app && one.second.expired(); });
    held = std::make_shared<HeldOfApp>(bounds_, app, held_);
    known = held;
  }
  return held;
}

}  // namespace ebb::sandbox
