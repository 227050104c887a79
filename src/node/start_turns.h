// Whose start is next when many are wanted at once: starts of a node take turns, app by app, and within an app function
// by function; so do loads of zygotes.
//
// A start is a few milliseconds of a processor, in launcher, kernel and instance; a load tenths of a second or more. So
// many at a time as there are processors, two at least, are nearly as fast as more; those beyond would only take the
// processors from each other and from everybody else. An app that wants hundreds waits for itself, another's next for
// at most one of it (sched/fair_queue.h), and not even for that when it has none under way: one such begins beside the
// others. What somebody waits for goes before what is started ahead of need, of whichever app; of every kAheadEvery
// turns that are given out while both wait, one is for the latter, so that it is not forgotten. Invariants: at most
// `most` turns and that one are under way that are younger than Age says for others; whoever waits is served when one
// ends or grows older: what user code does holds up nobody of another app for longer. Its own app it holds up for as
// long as such a start may take, twice what it usually does: at most `most` turns of an app are under way that are
// younger than that. Called by VersionRunner around a start, and around a load. Threads: any. Cost without a queue: one
// lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "base/mutex.h"
#include "io/one_shot.h"
#include "io/task.h"
#include "sched/fair_queue.h"

namespace ebb::node {

class StartTurns : public std::enable_shared_from_this<StartTurns> {
  using Waiter = std::shared_ptr<io::OneShot<bool>>;

 public:
  static constexpr std::uint32_t kAheadEvery = 4;

  /// Whether somebody, a call or a deployment, waits for what the turn is for.
  enum class Need : std::uint8_t { kAwaited, kAhead };

  /// How long a turn counts that is not given back.
  struct Age {
    base::Duration others;    // for other apps
    base::Duration own_most;  // for its own at most, and for as long as for others at least
  };

  /// `most` turns at a time; beyond `waiting_max` that wait a turn is given at once.
  StartTurns(std::uint32_t most, Age age, std::size_t waiting_max)
      : most_(most), age_(age), waiting_max_(waiting_max) {}

  /// A turn, given back at its end.
  class Turn {
   public:
    Turn(std::shared_ptr<StartTurns> turns, std::uint64_t id) : turns_(std::move(turns)), id_(id) {}
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_) turns_->give_back(id_);
    }

   private:
    std::shared_ptr<StartTurns> turns_;  // a start may be given up after the engine's end
    std::uint64_t id_;
  };

  /// Whose start it is, in numbers of their own.
  struct Starter {
    sched::FairQueue::App app = 0;            // its uid_index
    sched::FairQueue::Function function = 0;  // its version
    base::Duration usual{};                   // what it takes as a rule, as far as known
  };

  /// A place in the line, of one who is to wait() at once.
  struct Place {
    std::uint64_t id = 0;
    Waiter waiter;
  };

  Place line_up(Starter starter, Need need);
  /// Somebody waits now for what was lined up ahead of need: it goes where it would be, had it come now for that.
  /// Nothing happens when it has its turn. Cost: O(what the app has lined up ahead).
  void hurry(std::uint32_t app, std::uint64_t id);
  /// Until its turn has come.
  io::Task<Turn> wait(Place place);
  /// Lines up for what is awaited, and waits.
  io::Task<Turn> take(Starter starter);

  /// Whether a start that nobody waits for may begin: nobody waits for a turn, and one stays free beside it.
  bool calm() const;

  /// How many wait.
  std::size_t waiting() const {
    base::MutexLock lock(mutex_);
    return waiters_.size();
  }

 private:
  struct UnderWay {
    std::uint32_t app;
    std::uint64_t id;
    base::SteadyTime young_until;  // for others
    base::SteadyTime until;        // for its own app
  };
  struct Waiting {
    Waiter waiter;
    base::Duration counts;
  };

  void give_back(std::uint64_t id);
  /// Forgets turns that have grown old and gives out what is free.
  void give_out();
  /// The same, of those that are to be told when the lock is free.
  std::vector<Waiter> given_out(base::SteadyTime now) EBB_REQUIRES(mutex_);
  bool begins_at_once(std::uint32_t app, Need need, base::SteadyTime now) const EBB_REQUIRES(mutex_);
  std::uint32_t young(base::SteadyTime now) const EBB_REQUIRES(mutex_);
  std::uint32_t of_app(std::uint32_t app) const EBB_REQUIRES(mutex_);
  void begin(std::uint32_t app, std::uint64_t id, base::Duration counts, base::SteadyTime now) EBB_REQUIRES(mutex_);
  /// What may begin now, of what waits.
  std::optional<sched::FairQueue::Item> next_item(base::SteadyTime now) EBB_REQUIRES(mutex_);

  const std::uint32_t most_;
  const Age age_;
  const std::size_t waiting_max_;
  mutable base::Mutex mutex_;
  sched::FairQueue awaited_ EBB_GUARDED_BY(mutex_){waiting_max_};
  sched::FairQueue ahead_ EBB_GUARDED_BY(mutex_){waiting_max_};
  std::uint32_t passed_ EBB_GUARDED_BY(mutex_) = 0;  // turns given out since one was for what is ahead, while it waited
  std::unordered_map<std::uint64_t, Waiting> waiters_ EBB_GUARDED_BY(mutex_);  // of both
  std::vector<UnderWay> under_way_ EBB_GUARDED_BY(mutex_);                     // oldest first
  std::uint64_t next_ EBB_GUARDED_BY(mutex_) = 1;
};

}  // namespace ebb::node
