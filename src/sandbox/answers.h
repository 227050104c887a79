// What the daemon holds of functions' answers, and how much of it each app may have.
//
// An answer in one frame is gathered before its head goes out, and stays while its client takes it. To send one an
// instance needs no memory of its own, and one that serves many calls at a time sends as many at once: without a bound
// it would fill the daemon's memory at the cost of a loop.
//
// 1. An answer up to limits::kAnswerFreeBytes is not counted, so that small ones never fail here.
// 2. An app has limits::kAnswerBytesPerApp. While all apps together hold limits::kAnswerBytesPerNode, it has
//    room for the largest answer there is (limits::kHttpBodyBytes and its head), whatever others hold.
// 3. What is counted is counted before the memory is taken.
// Asked by Channel, as an answer comes, and by node. Threads: any. Cost: two atomic additions a step; none for 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/result.h"

namespace ebb::sandbox {

using HeldByNode = std::atomic<std::uint64_t>;

/// What is held of one app's.
struct AnswersOfApp {
  AnswersOfApp(std::string name, std::shared_ptr<HeldByNode> all) : app(std::move(name)), node(std::move(all)) {}
  const std::string app;
  const std::shared_ptr<HeldByNode> node;
  std::atomic<std::uint64_t> bytes{0};
};

/// One answer's part of it, given back with this.
class HeldAnswer {
 public:
  explicit HeldAnswer(std::shared_ptr<AnswersOfApp> app) : app_(std::move(app)) {}
  ~HeldAnswer() { release(); }
  HeldAnswer(HeldAnswer&& other) noexcept;
  HeldAnswer(const HeldAnswer&) = delete;
  HeldAnswer& operator=(const HeldAnswer&) = delete;
  HeldAnswer& operator=(HeldAnswer&&) = delete;

  /// The answer is about to take so many bytes in all; it never gets smaller. Errors, which name the bound:
  /// kTooLarge for the app's, kResourceExhausted for the node's. Then what was counted before stays.
  base::Result<> grow_to(std::uint64_t bytes);
  void release();
  std::uint64_t counted() const { return counted_; }

 private:
  std::shared_ptr<AnswersOfApp> app_;
  std::uint64_t counted_ = 0;
};

/// Those of a node.
class Answers {
 public:
  /// The app's, made if there is none; it stays valid.
  std::shared_ptr<AnswersOfApp> of(const std::string& app) EBB_EXCLUDES(mutex_);
  /// Of all apps, now.
  std::uint64_t bytes() const { return held_->load(std::memory_order_relaxed); }

 private:
  const std::shared_ptr<HeldByNode> held_ = std::make_shared<HeldByNode>(0);
  base::Mutex mutex_;
  std::map<std::string, std::weak_ptr<AnswersOfApp>> apps_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::sandbox
