// What the daemon holds in its memory for each app, of one kind (answers, bodies of requests), and how much that may
// be. Of uploads it is for each organisation, for an app may not be there yet: "app" stands for whoever has a part.
//
// The memory is the node's, and to fill it costs an app little: without a bound what one app does others would feel.
//
// 1. A part up to `free_bytes` is not counted, so that small ones never fail here.
// 2. An app has `app_bytes`. While all apps together hold `node_bytes`, it has room for the largest part there is,
// whatever others hold.
// 3. What is counted is counted before the memory is taken.
// 4. What is refused was never counted: one that does not fit costs nobody the room that there is. So both counts are
// behind one lock.
// Asked by Channel, as an answer comes, and by node. Threads: any. Cost: one lock a step, and steps double; none for 1.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace ebb::sandbox {

/// Of one kind. Static: the parts refer to it.
struct HoldingBounds {
  std::uint64_t free_bytes;
  std::uint64_t app_bytes;
  std::uint64_t node_bytes;
  std::uint64_t largest_bytes;
  base::Code app_full;      // the code of an app's bound; the node's is kResourceExhausted
  std::string_view before;  // in the errors, the app's name: "app "
  std::string_view what;    // in the errors: "answers"
  std::string_view remedy;  // behind the bound: ", until ...: stream long answers"
};

/// What is held for all apps.
struct HeldByNode {
  base::Mutex mutex;  // of the apps' counts, too
  std::uint64_t bytes EBB_GUARDED_BY(mutex) = 0;
};

/// What is held for one app.
struct HeldOfApp {
  HeldOfApp(const HoldingBounds& of_kind, std::string name, std::shared_ptr<HeldByNode> all)
      : bounds(of_kind), app(std::move(name)), node(std::move(all)) {}
  const HoldingBounds& bounds;
  const std::string app;
  const std::shared_ptr<HeldByNode> node;
  std::uint64_t bytes EBB_GUARDED_BY(node->mutex) = 0;
};

/// One answer's or one body's part of it, given back with this.
class Held {
 public:
  explicit Held(std::shared_ptr<HeldOfApp> app) : app_(std::move(app)) {}
  ~Held() { release(); }
  Held(Held&& other) noexcept;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  Held& operator=(Held&&) = delete;

  /// It is about to take so many bytes in all; it never gets smaller. Errors, which name the bound: `app_full` for the
  /// app's, kResourceExhausted for the node's. Then what was counted before stays.
  base::Result<> grow_to(std::uint64_t bytes);
  void release();
  std::uint64_t counted() const { return counted_; }

 private:
  std::shared_ptr<HeldOfApp> app_;
  std::uint64_t counted_ = 0;
};

/// Those of a node.
class Holdings {
 public:
  explicit Holdings(const HoldingBounds& bounds) : bounds_(bounds) {}

  /// The app's, made if there is none; it stays valid.
  std::shared_ptr<HeldOfApp> of(const std::string& app) EBB_EXCLUDES(mutex_);
  /// Of all apps, now.
  std::uint64_t bytes() const {
    base::MutexLock lock(held_->mutex);
    return held_->bytes;
  }

 private:
  const HoldingBounds& bounds_;
  const std::shared_ptr<HeldByNode> held_ = std::make_shared<HeldByNode>();
  base::Mutex mutex_;
  std::map<std::string, std::weak_ptr<HeldOfApp>> apps_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::sandbox
