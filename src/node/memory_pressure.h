// Who gives way when memory is short: idle functions, the one whose memory buys the least first.
//
// The launcher refuses to start anything once most of the memory budget is in use, and says so when calls at work have
// grown until then: else the kernel would end one of them. What holds the rest is, as a rule, idle: spares, zygotes
// kept for calls that may come, instances kept warm. relieve() ends a spare if there is one, else lets go of what is
// worth least (sched/zygote_cache.h): an idle function, or a runtime zygote without a function in it; what runs is
// never touched. When nobody is idle, and several functions have each a zygote and no room for an instance, the one
// whose calls came last gives way to the others. Nothing is kept up to date for it on the path of a call: it looks at
// all versions when it is asked, which costs O(versions). An app that has all the instances it may have gives up idle
// ones for calls of its other functions: retire_idle_of(). Called by VersionRunner between two tries of a start.
// Threads: any; one relief at a time, who asks meanwhile shares it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "io/one_shot.h"
#include "node/services.h"
#include "sched/zygote_cache.h"

namespace ebb::node {

class MemoryPressure {
 public:
  explicit MemoryPressure(Services& services) : services_(services) {}

  /// From now on the version may be asked to give way; to be called before it starts anything. Twice is as once.
  void join(const std::shared_ptr<VersionRunner>& runner);
  /// Returns when the memory of one spare, idle function or runtime zygote is back with the kernel. False: none holds
  /// any, or it took too long.
  io::Task<bool> relieve();
  /// So much is in use that nothing would be started, whoever has grown: what relieve() would end goes, one at a time
  /// and nobody waits for it. Told again and again while it is so. From the home core.
  void memory_short();
  /// Returns when one spare has ended, of the function that was called longest ago. False: there is none, or none was
  /// to be had: calls have taken those that were starting.
  io::Task<bool> give_up_spare();
  /// Tells one idle instance of the app to end, of the function that was called longest ago. False: there is none.
  bool retire_idle_of(const std::string& app);

 private:
  using Runners = std::map<sched::ZygoteCache::Key, std::shared_ptr<VersionRunner>>;
  using Since = std::pair<base::SteadyTime, std::shared_ptr<VersionRunner>>;
  static io::Task<> run(MemoryPressure& self);
  bool somebody_waits() EBB_EXCLUDES(mutex_);
  io::Task<bool> let_one_go();
  io::Task<bool> let_a_spare_go();
  /// Functions whose zygotes leave each other's instances no room: the one that waits for the shortest time gives way.
  io::Task<bool> let_one_give_way();
  /// Those of the app, or of all where it is "", that have something since a moment, in the order of these.
  std::vector<Since> oldest_first(std::optional<base::SteadyTime> (VersionRunner::*since)(), std::string_view app = {});
  /// Those that still exist; the others are forgotten.
  Runners present();
  void appraise(const Runners& runners);
  /// The runtime zygotes that may go, by key, appraised too.
  std::map<sched::ZygoteCache::Key, std::uint64_t> idle_runtimes();

  Services& services_;
  base::Mutex mutex_;
  std::map<std::weak_ptr<VersionRunner>, sched::ZygoteCache::Key, std::owner_less<>> joined_ EBB_GUARDED_BY(mutex_);
  sched::ZygoteCache::Key next_key_ EBB_GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<io::OneShot<bool>>> waiters_ EBB_GUARDED_BY(mutex_);
  bool relieving_ EBB_GUARDED_BY(mutex_) = false;
  base::SteadyTime nobody_idle_until_ EBB_GUARDED_BY(mutex_);
  // Touched by the one relief under way only:
  sched::ZygoteCache worth_{base::Bytes{0}};
  std::map<std::uint64_t, sched::ZygoteCache::Key> runtime_keys_;  // by sandbox, of those seen idle last
};

}  // namespace ebb::node
