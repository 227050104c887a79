#include "sandbox/answers.h"

#include <utility>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/limits_answers.h"

namespace ebb::sandbox {

namespace {

constexpr std::uint64_t kLargest = limits::kHttpBodyBytes + limits::kFrameMetaBytes;

base::Error full(base::Code code, const std::string& whose, std::uint64_t bytes) {
  return base::Error{.code = code,
                     .message = "the node holds as much of the answers of " + whose + " as it may, " +
                                base::to_string(base::Bytes{bytes}) +
                                ", until their clients have taken them: stream long answers",
                     .retry_after = std::chrono::seconds(1)};
}

}  // namespace

HeldAnswer::HeldAnswer(HeldAnswer&& other) noexcept
    : app_(other.app_), counted_(std::exchange(other.counted_, std::uint64_t{0})) {}

base::Result<> HeldAnswer::grow_to(std::uint64_t bytes) {
  if (bytes <= limits::kAnswerFreeBytes || bytes <= counted_) return {};
  const std::uint64_t more = bytes - counted_;
  const std::uint64_t of_app = app_->bytes.fetch_add(more, std::memory_order_relaxed) + more;
  const std::uint64_t of_all = app_->node->fetch_add(more, std::memory_order_relaxed) + more;
  const bool app_full = of_app > limits::kAnswerBytesPerApp;
  const bool node_full = of_all > limits::kAnswerBytesPerNode && of_app > kLargest;
  if (!app_full && !node_full) {
    counted_ = bytes;
    return {};
  }
  app_->bytes.fetch_sub(more, std::memory_order_relaxed);
  app_->node->fetch_sub(more, std::memory_order_relaxed);
  if (app_full) return full(base::Code::kTooLarge, "app " + app_->app, limits::kAnswerBytesPerApp);
  return full(base::Code::kResourceExhausted, "all apps", limits::kAnswerBytesPerNode);
}

void HeldAnswer::release() {
  if (counted_ == 0) return;
  app_->bytes.fetch_sub(counted_, std::memory_order_relaxed);
  app_->node->fetch_sub(counted_, std::memory_order_relaxed);
  counted_ = 0;
}

std::shared_ptr<AnswersOfApp> Answers::of(const std::string& app) {
  base::MutexLock lock(mutex_);
  std::weak_ptr<AnswersOfApp>& known = apps_[app];
  std::shared_ptr<AnswersOfApp> answers = known.lock();
  if (!answers) {
    std::erase_if(apps_, [&](const auto& one) { return one.first != app && one.second.expired(); });
    answers = std::make_shared<AnswersOfApp>(app, held_);
    known = answers;
  }
  return answers;
}

}  // namespace ebb::sandbox
