// Which asynchronous call is delivered when: the calls that wait, whose turn it is, and what becomes of one after an
// attempt.
//
// 1. A call is inside from its acceptance until it is done or has failed; one that runs is inside too.
// 2. Functions take turns, so that none waits for another's backlog; within one, who is due first goes first. One that
//    may not begin (no room, a budget spent) is held, with the reason, and keeps nobody else back. A version that is
//    called by number or by an alias is as a function of its own: its instances are others.
// 3. An app has at most Bounds::per_app attempts under way, and never more than are left free on the node: however many
//    apps are greedy, another one's first call finds room. (Dynamic thresholds: Choudhury and Hahne, 1998.)
// 4. What user code does counts as an attempt; refusals and faults of the platform do not, and end with the deadline.
// Pure: no I/O, time comes in. Used by node/async_calls.h, which locks. Cost: O(functions that have calls) to find the
// next call, O(log calls) for all else. A version has its places however it is called.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/id.h"
#include "model/async_terms.h"

namespace ebb::sched {

struct AsyncCall {
  base::InvocationId id;
  std::string app;
  std::string function;
  std::string version;  // as it was called: a number, an alias, or "" for the current one
  model::AsyncTerms terms;
  base::SteadyTime accepted{};
  base::SteadyTime due{};       // no attempt begins before
  base::SteadyTime deadline{};  // nor after
  std::uint32_t attempts = 0;   // that ended, and count
};

/// How an attempt ended.
struct AsyncEnd {
  enum class How : std::uint8_t {
    kDone,
    kFailed,    // user code failed, or took too long
    kRefused,   // no room, or a quota or budget used up: 429
    kFault,     // of the platform, or it is stopping
    kHopeless,  // it would end so each time: the function is gone, takes no such event
  } how = How::kDone;
  std::string why;               // not of kDone
  base::Duration retry_after{};  // of kRefused
};

/// What becomes of the call then.
struct AsyncVerdict {
  enum class Next : std::uint8_t { kDone, kWaits, kFailed } next = Next::kDone;
  std::uint32_t attempts = 0;
  base::SteadyTime due{};  // of kWaits
  std::string why;         // not of kDone: for who looks at the call
};

class AsyncQueue {
 public:
  struct Bounds {
    std::uint32_t per_app = 0;
    std::uint32_t per_node = 0;
  };
  /// What a call may do now.
  struct Leave {
    std::uint32_t version = 0;  // of the function, that it would go to; 0: not known
    std::uint32_t places = 1;   // attempts at that version at one time
    std::string why_not{};      // nothing begins until it is asked again after `ask_again`
    base::Duration ask_again{};
  };
  using LeaveOf = std::function<Leave(const AsyncCall& call)>;

  explicit AsyncQueue(Bounds bounds) : bounds_(bounds) {}

  /// Its id is not inside.
  void add(AsyncCall call);
  /// The call whose attempt begins now, nothing when none may. `leave_of` is asked where everything else allows one.
  std::optional<AsyncCall> next(base::SteadyTime now, const LeaveOf& leave_of);
  /// The attempt that next() gave has ended. Nothing when the call was removed meanwhile.
  std::optional<AsyncVerdict> ended(const base::InvocationId& id, const AsyncEnd& end, base::SteadyTime now);

  struct Expired {
    base::InvocationId id;
    std::uint32_t attempts = 0;
    std::string why;
  };
  /// Those past their deadline that do not run: they are not inside any more.
  std::vector<Expired> expire(base::SteadyTime now);

  enum class Removed : std::uint8_t { kYes, kRuns, kNotInside };
  Removed remove(const base::InvocationId& id);
  /// All of an app, or of one function of it, those that run too.
  void remove_all(const std::string& app, const std::string& function);
  /// It is due at once. False when it is not inside, or runs.
  bool hasten(const base::InvocationId& id, base::SteadyTime now);
  /// Whoever is held is looked at anew: a budget or a quota is another.
  void release();

  struct View {
    bool running = false;
    std::string waits_because;  // "" when it is its turn that it waits for
  };
  std::optional<View> view(const base::InvocationId& id, base::SteadyTime now) const;
  /// Those of an app that run ("": of all), of one function ("": of all).
  std::vector<base::InvocationId> running(const std::string& app, const std::string& function) const;
  /// Why a call of this function, by this version or alias, would wait at present, "" if it would not.
  std::string held_because(const std::string& app, const std::string& function, const std::string& version,
                           base::SteadyTime now) const;

  struct Count {
    std::uint64_t waiting = 0;
    std::uint64_t running = 0;
    base::SteadyTime oldest = base::SteadyTime::max();  // acceptance of the oldest that waits or runs
  };
  /// By app.
  std::map<std::string, Count> counts() const;

 private:
  using Name = std::tuple<std::string, std::string, std::string>;           // app, function, version as called
  using VersionName = std::tuple<std::string, std::string, std::uint32_t>;  // app, function, number
  using Turn = std::pair<base::SteadyTime, std::uint64_t>;  // when it is due, and in which order it came

  struct Entry {
    AsyncCall call;
    std::uint64_t order = 0;
    std::uint32_t faults = 0;   // in a row
    std::uint32_t version = 0;  // that it runs at
    bool running = false;
  };
  struct Lane {
    std::map<Turn, base::InvocationId> waiting;
    std::uint32_t running = 0;  // of those that came this way
    base::SteadyTime held_until{};
    std::string held_because;
  };

  static Name name_of(const AsyncCall& call) { return {call.app, call.function, call.version}; }
  bool has_room(const std::string& app) const;
  /// The version that the first of the lane goes to; nothing: it may not begin.
  std::optional<VersionName> may_begin(Lane& lane, base::SteadyTime now, const LeaveOf& leave_of) const;
  void wait(Entry& entry);
  void leave_lane(const Entry& entry);
  void ended_running(const Entry& entry);
  void forget_lane(const Name& name);

  const Bounds bounds_;
  std::map<base::InvocationId, Entry> calls_;
  std::map<Name, Lane> lanes_;                       // those that have calls
  std::map<std::string, std::uint32_t> running_of_;  // by app
  std::map<VersionName, std::uint32_t> running_at_;  // by version
  std::uint32_t running_ = 0;
  std::set<std::pair<base::SteadyTime, base::InvocationId>> deadlines_;
  Name last_;  // whose turn it was
  std::uint64_t next_order_ = 0;
};

}  // namespace ebb::sched
