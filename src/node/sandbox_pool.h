// The sandboxes with a runtime zygote in them: one per app, dependency layer and image, shared by the functions of the
// app.
//
// 1. Made on first need, single flight; forgotten when the launcher says it died, and made again by the next who asks.
// 2. One is never ended by the pool while it has a use: a function zygote in it, or an instance forked from it.
// 3. Without uses it is held while there is memory, or with keep_alive_price as long as its plan says (runtime_plan.h),
//    which also loads it again before a call is likely. One that gave way to others comes back with the next need.
// Called by VersionRunner before it makes a function zygote, by MemoryPressure, by the node's tick.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "io/one_shot.h"
#include "meter/held_count.h"
#include "node/runtime_plan.h"
#include "node/services.h"

namespace ebb::node {

/// Who shares it keeps the runtime zygote from being let go; it may die all the same.
struct RuntimeUse {
  std::atomic<bool> gone = false;
};

struct ReadySandbox {
  std::uint64_t id = 0;
  base::SteadyTime booted_at{};
  std::string no_forks_because;  // not empty: the host forbids forks from zygotes, and there is no sandbox
  std::shared_ptr<const RuntimeUse> use;
};

class SandboxPool {
 public:
  explicit SandboxPool(Services& services) : services_(services) {}

  /// Errors: the launcher's; kDeadlineExceeded when the runtime does not come up.
  /// `image_layers`: of the image that is its root; none: the host's system is.
  io::Task<base::Result<ReadySandbox>> get(std::string app, std::uint32_t uid_index, std::string layer_key,
                                           std::vector<std::string> image_layers);
  /// The plan of that sandbox, to be told of calls; nullptr without keep_alive_price.
  std::shared_ptr<RuntimePlan> plan_of(const std::string& app, const std::string& layer_key,
                                       const std::vector<std::string>& image_layers);
  /// The launcher reports that it is gone.
  void exited(std::uint64_t id);
  /// Kills the sandboxes of an app that was removed.
  void remove_app(const std::string& app);
  /// Kills the sandboxes that have a layer which was removed: no version uses them.
  void remove_layer(const std::string& layer_key);
  /// Follows the plans, and adds what the runtime zygotes hold to the metrics, for the time since it was called last.
  void tick(base::SteadyTime now);

  /// A runtime zygote without a use.
  struct Idle {
    std::uint64_t id = 0;
    base::Bytes bytes;
    base::Duration boot_time{};
    std::uint32_t needs = 0;  // how often it was asked for since this was called last
  };
  std::vector<Idle> idle();
  /// Lets go of it and waits until the kernel has its memory back. False, and nothing is done, when it has a use by now
  /// or is gone.
  io::Task<bool> let_go(std::uint64_t id);
  /// Writes what each app's runtime zygotes have held as a record of model::kRuntimesName, where the last one is that
  /// old. Errors: the first one's of the usage log; what could not be written is in the next.
  base::Result<> note_held(base::SteadyTime now, base::Duration interval);

 private:
  struct Key {
    std::string app;
    std::string layer_key;
    std::vector<std::string> image_layers;
    auto operator<=>(const Key&) const = default;
  };
  enum class State : std::uint8_t { kAbsent, kBooting, kReady };
  struct Entry {
    State state = State::kAbsent;
    std::uint64_t id = 0;
    std::uint32_t uid_index = 0;
    base::SteadyTime booted_at{};
    base::Duration boot_time{};
    std::string no_forks_because;
    base::Bytes bytes;
    std::uint32_t needs = 0;
    bool needed = false;    // ever, since it gave way or failed: the plan may load it
    bool unwanted = false;  // removed while it boots
    std::shared_ptr<RuntimeUse> use;
    std::shared_ptr<RuntimePlan> plan;
    std::vector<std::shared_ptr<io::OneShot<base::Result<ReadySandbox>>>> waiters;

    /// There is a process.
    bool holds() const { return state == State::kReady && no_forks_because.empty(); }
    bool may_go() const { return holds() && use.use_count() == 1; }
  };

  /// Before their number changes.
  void count(base::SteadyTime now) EBB_REQUIRES(mutex_);
  struct Booted {
    std::string no_forks_because;  // why there are no forks from zygotes on this host; empty where there are
    base::Bytes bytes;
  };

  Entry& entry(const Key& key) EBB_REQUIRES(mutex_);
  void begin_boot(const Key& key, Entry& entry) EBB_REQUIRES(mutex_);
  static void forget(Entry& entry);
  void remove_where(const std::function<bool(const Key&)>& gone);
  static io::Task<> boot(SandboxPool& pool, Key key, std::uint32_t uid_index, std::uint64_t id);
  void booted(const Key& key, std::uint64_t id, base::SteadyTime since, const base::Result<Booted>& outcome);
  io::Task<base::Result<Booted>> try_boot(Key key, std::uint32_t uid_index, std::uint64_t id);
  void follow_plans(base::SteadyTime now);
  void count_held(base::SteadyTime now);

  Services& services_;
  base::Mutex mutex_;
  std::map<Key, Entry> entries_ EBB_GUARDED_BY(mutex_);
  std::map<std::string, meter::HeldCount> held_ EBB_GUARDED_BY(mutex_);  // by app
  std::map<std::uint64_t, std::shared_ptr<io::OneShot<bool>>> leaving_ EBB_GUARDED_BY(mutex_);
  base::SteadyTime counted_at_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::node
