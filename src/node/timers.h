// Timers: calls functions at the times that their current versions name (`timers` of ebb.yaml).
//
// 1. A due time becomes one asynchronous call, over kills and restarts: that it is handled is in the transaction that
//    adds the call. What is due when is sched/timer_plan.h's to say.
// 2. In force are the timers of the version that a function's plain name stands for, from the moment in which it does.
// 3. A due time whose call finds no room among those that wait is skipped; the function's log says so. While the disk
//    takes nothing it waits.
// Owned by Engine. Threads: any, but where a method says that it blocks.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "meter/metrics.h"
#include "model/version.h"
#include "node/async_calls.h"
#include "node/node.h"
#include "node/services.h"
#include "sched/timer_plan.h"

namespace ebb::node {

class Timers {
 public:
  using Name = std::pair<std::string, std::string>;  // app, function

  /// Borrows them, which outlive it.
  Timers(Services& services, store::Calls& calls, AsyncCalls& async_calls)
      : services_(services), calls_(calls), async_calls_(async_calls) {}

  /// Goes on where the node before this one was, with the current versions. Blocks. Errors: those of the store.
  base::Result<> begin(const std::vector<model::Version>& current);
  /// This one is the function's current version now. Blocks. What the disk does not take is tried again.
  void in_force(const model::Version& version);
  /// The function is gone. Blocks likewise.
  void end(const std::string& app, const std::string& function);
  /// Those of an app, or of one function, were removed with its calls.
  void forget(const std::string& app, const std::string& function);
  /// None is called any more.
  void stop();

  /// What has become due is called. To be called often.
  void tick(base::WallTime wall, base::SteadyTime now);
  /// When each function that has timers is called next.
  std::vector<std::pair<Name, base::WallTime>> next_calls();
  /// Of one function.
  std::vector<TimerView> view(const std::string& app, const std::string& function);
  std::string metrics_text();

 private:
  struct OfFunction {
    sched::TimerPlan plan;
    model::AsyncTerms terms;
    base::WallTime since{};         // new ones that are not kept yet are due from then on
    bool kept = false;              // on disk; before that nothing is called
    base::SteadyTime keep_again{};  // else: not before then
  };

  void set(const Name& name, const std::vector<model::Timer>& timers, const model::AsyncTerms& terms);
  bool keep(const Name& name) EBB_EXCLUDES(mutex_);
  static io::Task<> keep_later(Timers& self, Name name);
  static io::Task<> call(Timers& self, Name name, model::AsyncTerms terms, sched::TimerPlan::Due due);
  void tell(const Name& name, const std::string& line);
  void tell_missed(const Name& name, const sched::TimerPlan::Due& due);
  void skipped(const Name& name, const sched::TimerPlan::Due& due, const base::Error& error);
  bool stopped();

  Services& services_;
  store::Calls& calls_;
  AsyncCalls& async_calls_;
  base::Mutex keeping_;  // one at a time says to the disk what is in force. Taken before mutex_
  base::Mutex mutex_;
  std::map<Name, OfFunction> functions_ EBB_GUARDED_BY(mutex_);  // those that have timers
  bool stopped_ EBB_GUARDED_BY(mutex_) = false;
  meter::Counter called_;
  meter::Counter skipped_;
  meter::Counter missed_;
};

}  // namespace ebb::node
