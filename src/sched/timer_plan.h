// The timers of one function: which of their due times has come, which is next, and when what serves it is to be
// loaded, for when it is called is known exactly.
//
// 1. Each due time is taken once. One timer's are taken in their order, the next when the one before is settled.
// 2. A timer that is set anew, word for word, goes on where it was; another begins: nothing before its setting is due.
// 3. Who is behind by more than limits::kTimerBehind, or takes up what a node before it had handled, makes up for the
//    latest of the missed due times, if that is no older than limits::kTimerMadeUp. The others are missed.
// 4. A clock that is set back makes nothing due a second time.
// Pure: time comes in. Threads: as its owner, node/timers.h. Cost: O(timers) a look; microseconds after each due time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "model/cron.h"
#include "model/time_zone.h"
#include "model/timer.h"

namespace ebb::sched {

/// What tells a timer from another, and is kept: all that was written of it.
std::string key_of(const model::Timer& timer);

class TimerPlan {
 public:
  /// These and no others from now on. They are without violation; one whose zone this machine has no longer is never
  /// due.
  void set(const std::vector<model::Timer>& timers, base::WallTime now);
  /// After set(), what was kept of one: its due times are handled until then.
  void resume(const std::string& key, base::WallTime handled);

  struct Due {
    model::Timer timer;
    base::WallTime at{};
    std::optional<base::WallTime> missed{};  // the first of those before it that are not made up for
    bool stale = false;                      // nor is this one: it is too old
  };
  /// Those that have come. One that is not stale is under way from now on, until settled().
  std::vector<Due> take(base::WallTime now);
  void settled(const std::string& key);

  std::vector<std::string> keys() const;
  /// The next due time of each, in their order; nothing: never.
  struct Next {
    const model::Timer* timer;
    std::optional<base::WallTime> due;
  };
  std::vector<Next> next() const;
  /// The soonest of them.
  std::optional<base::WallTime> soonest() const;
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    model::Timer timer;
    std::string key;
    std::optional<model::Cron> cron{};  // with `zone`; neither: by its interval, or never
    std::optional<model::TimeZone> zone{};
    std::optional<base::WallTime> next{};
    bool resumed = false;
    bool under_way = false;
  };
  static std::optional<base::WallTime> next_after(const Entry& entry, base::WallTime after);
  /// The last that has come, of those that are young enough; `entry.next` has come.
  static std::optional<base::WallTime> latest(const Entry& entry, base::WallTime now);

  std::vector<Entry> entries_;
};

/// How long before a call that is known to come what serves it is to be loaded, when loading took so long last.
base::Duration load_ahead(base::Duration loading);

/// A call that is known to come.
class ExpectedCall {
 public:
  /// The next one; SteadyTime::max(): none. Of one before, whose time has come, it is remembered that it is on its way.
  void expect(base::SteadyTime due, base::SteadyTime now);
  bool none() const { return due_ == base::SteadyTime::max() && before_ == base::SteadyTime::min(); }
  /// Whether what serves it is to be there.
  bool wanted(base::SteadyTime now, base::Duration loading) const;

 private:
  base::SteadyTime due_ = base::SteadyTime::max();
  base::SteadyTime before_ = base::SteadyTime::min();
};

}  // namespace ebb::sched
