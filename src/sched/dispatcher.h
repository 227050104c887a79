// The decisions for one function version: which waiting call gets which instance, when to start one, when to retire
// one.
//
// A deterministic state machine: events in, actions out; no clock, no I/O, no lock of its own (node holds one per
// version). Invariants, asserted at every event:
//   1. a call is leased to exactly one instance that is ready and has room: it serves fewer than `concurrency` calls;
//      one that is full, starting or spoiled is never promised,
//   2. calls leave the queue in order of arrival, and each leaves it once: leased, refused, or withdrawn,
//   3. starting + idle + busy <= instances_max, at most one zygote start is under way,
//   4. an instance is frozen only while it is idle, and the lease that takes it says that it must be thawed,
//   5. without reuse an instance is leased at most once; then it is retired, and another takes its place,
//   6. at most one instance is a spare (spares.h): it served nobody, is leased when nobody else has room, counts to the
//      maximum but not to the minimum, and is no spare any more when a call or the minimum has taken it. So no call is
//      refused for the sake of a spare.
// A call that finds nobody idle gets a start of its own unless busy instances are likely to be sooner (fork_or_wait.h);
// one that has waited as long as a start takes gets it whatever was likely. But where calls compute and the processors
// are taken, no start makes anything sooner (processor_bound.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "base/id.h"
#include "sched/fork_or_wait.h"
#include "sched/processor_bound.h"
#include "sched/spares.h"

namespace ebb::sched {

enum class CallId : std::uint64_t {};

struct DispatcherOptions {
  std::uint32_t instances_min = 0;
  std::uint32_t instances_max = 20;
  std::uint32_t concurrency = 1;  // calls at a time in one instance; 1 without reuse
  base::Duration idle_timeout = std::chrono::seconds(60);
  base::Duration freeze_after = base::Duration::max();  // idle that long, an instance is frozen; max(): never
  bool reuse = true;                                    // false: every call gets an instance that served nobody before
  std::size_t queue_max = 0;
  base::Duration max_wait = base::Duration::max();  // who is likely to wait longer for a busy instance is refused
  std::uint32_t starting_max = 0;  // forks under way at once: more only wait for each other inside the zygote
  base::Duration spare_from = base::Duration::max();  // loading takes so long that a spare is kept; max(): never
};

/// Where new instances come from at the moment.
enum class ZygoteState : std::uint8_t {
  kAbsent,    // nothing yet, or it died
  kStarting,  // being made: calls wait for it
  kReady,     // fork from the function zygote
  kUnfit,     // user init cannot be forked: fork from the runtime zygote and run user init in the instance
};

// Actions, to be carried out in order.
struct LeaseTo {
  CallId call;
  base::InstanceId instance;
  bool thaw = false;   // it is frozen: to be thawed before the call goes in
  bool spare = false;  // it was the spare
};
struct StartZygote {};
struct StartInstance {
  base::InstanceId instance;
};
struct Retire {
  base::InstanceId instance;
};
struct Freeze {
  base::InstanceId instance;
};
struct Refuse {
  CallId call;
  enum class Why : std::uint8_t { kQueueFull, kTooLong, kZygoteFailed, kStartFailed, kClosed } why;
  base::Duration wait{};  // kQueueFull, kTooLong: until what waits now is likely to be served; zero: not known
};
using Action = std::variant<LeaseTo, StartZygote, StartInstance, Retire, Freeze, Refuse>;
using Actions = std::vector<Action>;

class Dispatcher {
 public:
  /// `next_instance` numbers instances, for all dispatchers of a node. `processors`: theirs; without, there are as many
  /// as calls want.
  Dispatcher(DispatcherOptions options, std::atomic<std::uint64_t>* next_instance, Processors* processors = nullptr);

  // Events. Each appends the actions it causes to `out`.
  void call_arrived(CallId call, base::SteadyTime now, Actions& out);
  /// What refuses a call that arrives now, because too many wait; nothing when it is taken, or is refused for something
  /// else. Changes nothing: who is refused by it need not arrive. No allocation.
  std::optional<Refuse> overload(CallId call, base::SteadyTime now) const;
  /// The caller went away or waited too long. False when the call is not queued (any more).
  bool call_withdrawn(CallId call);
  void zygote_ready(ZygoteState state, base::SteadyTime now, Actions& out);
  /// Making it failed: everyone waiting is refused, and until `retry_at` so is every new call.
  void zygote_failed(base::SteadyTime retry_at, Actions& out);
  /// The zygote died on its own. Its instances are reported one by one by instance_gone.
  void zygote_lost(base::SteadyTime now, Actions& out);
  void instance_ready(base::InstanceId instance, base::SteadyTime now, Actions& out);
  /// What a start may do that finds no room. One for the minimum has others' idle instances and memory end for it once,
  /// which it says by displaces(); when that did not help another does so after kDisplacePauseMin, doubling to
  /// kDisplacePauseMax, until the minimum is met or raised: what it takes is missing elsewhere.
  enum class Claim : std::uint8_t {
    kNothing,   // a spare
    kDeparted,  // wait for those that end already
    kIdle,      // that, and have idle ones end
  };
  Claim claim_of(base::InstanceId instance, base::SteadyTime now) const;
  /// That start has others end for it now, if there are any.
  void displaces(base::InstanceId instance);
  /// There is no room for that instance beside those there are: calls wait for these, and nothing is started for
  /// kStartPause. Without any, what waits is refused. The minimum is tried again after kStartPause.
  void no_room(base::InstanceId instance, base::SteadyTime now, Actions& out);
  /// The start failed, so no call was lost with it. After `kStartFailuresMax` in a row, what waits is refused, and
  /// nothing is started for the minimum for kStartPause. `together`: for a reason that others which are under way share
  /// (their zygote has ended): they count as one.
  void start_failed(base::InstanceId instance, base::SteadyTime now, Actions& out, bool together = false);
  /// What a call used of processors in its time, before it is reported to have left.
  void call_used(base::Duration cpu, base::Duration time, base::SteadyTime now);
  /// A call has left its instance, which is free again, or has more room; without reuse it is retired.
  void call_finished(base::InstanceId instance, base::SteadyTime now, Actions& out);
  /// The same for a call after which the instance is not fit for another: it is retired when its last call has left.
  void call_spoiled(base::InstanceId instance, base::SteadyTime now, Actions& out);
  /// An instance is no more, whatever it was doing.
  void instance_gone(base::InstanceId instance, base::SteadyTime now, Actions& out);
  /// Idle instances beyond the minimum whose time is up are retired, others that idle for long are frozen; calls that
  /// were to wait for a busy instance and have waited long enough get starts.
  void tick(base::SteadyTime now, Actions& out);
  /// Asks for the minimum of instances, and for a zygote even when no call waits (after deploy, after a restart).
  void prewarm(base::SteadyTime now, Actions& out);
  /// As many instances are kept from now on, bounded by the maximum; prewarm() starts what is missing.
  void set_minimum(std::uint32_t instances);
  std::uint32_t minimum() const { return options_.instances_min; }
  /// For instances that go idle, and those that are.
  void set_idle_timeout(base::Duration timeout) { options_.idle_timeout = timeout; }
  /// What loading is likely to take in an instance, as far as the zygote's own trial tells; zero where it is forked
  /// loaded.
  void loading_takes(base::Duration time) { spares_.expect(time); }
  /// What it took in one that is about to be reported ready.
  void loaded(base::Duration time) { spares_.loaded(time); }
  /// What starting an instance takes on average, from the decision to its readiness; 0 while nothing is known.
  base::Duration start_time() const { return fork_or_wait_.fork_time(); }
  /// Whether a spare is worth its memory, and nothing else is to be started before it.
  bool wants_spare() const;
  /// Starts the spare; to be called only when it is wanted.
  void start_spare(base::SteadyTime now, Actions& out);
  /// Retires the spare, which is not replaced until the next call; false when none is ready.
  bool give_up_spare(Actions& out);
  /// Retires the spare for now: another may be started at any time. False when none is ready.
  bool rest_spare(Actions& out);
  /// Whether loading takes so long that spares are kept at all.
  bool keeps_spares() const { return !spares_.is_never() && spares_.long_enough(); }
  /// From now on none is kept, or one may be again.
  void keep_no_spare(Actions& out);
  void may_keep_spare() { spares_.allow(true); }
  /// Retires the instance that has been idle longest, whatever the minimum; false when none is idle.
  bool retire_coldest(Actions& out);
  /// No new calls; the queue is refused, idle instances retire, busy ones when they finish.
  void close(Actions& out);

  std::size_t queued() const { return queue_.size(); }
  /// Since when the call in front of the queue waits; SteadyTime::max() when none does.
  base::SteadyTime waits_since() const { return queue_.empty() ? base::SteadyTime::max() : queue_.front().since; }
  std::uint32_t starting() const { return starting_; }
  /// Whether neither its readiness nor its end has been reported.
  bool is_starting(base::InstanceId id) const {
    const auto at = instances_.find(id);
    return at != instances_.end() && at->second.state == State::kStarting;
  }
  /// The spare, ready or starting.
  std::optional<base::InstanceId> spare() const { return spare_; }
  /// Spares that are ready: 1 or 0.
  std::uint32_t spares() const { return spare_waits() ? 1 : 0; }
  /// Idle instances, frozen ones included, the spare not.
  std::uint32_t idle() const { return static_cast<std::uint32_t>(idle_.size() + frozen_.size()); }
  std::uint32_t frozen() const { return static_cast<std::uint32_t>(frozen_.size()); }
  /// Of the idle ones, those that the minimum keeps: instances at work count for it first.
  std::uint32_t provisioned() const;
  /// The idle instances, frozen ones last, each list with those first that are used next.
  std::vector<base::InstanceId> resting() const;
  std::uint32_t instances() const { return static_cast<std::uint32_t>(instances_.size()); }
  ZygoteState zygote() const { return zygote_; }
  bool closed() const { return closed_; }
  /// When tick() next has something to do; SteadyTime::max() when never.
  base::SteadyTime next_tick() const;

  static constexpr std::uint32_t kStartFailuresMax = 3;
  static constexpr auto kStartPause = std::chrono::seconds(1);
  static constexpr base::Duration kDisplacePauseMin = std::chrono::seconds(2);
  static constexpr base::Duration kDisplacePauseMax = std::chrono::minutes(1);
  // For want of processors: until it is looked again, and for how long it is waited in vain for a call to end: for so
  // many calls' times, at most a second, or for two calls' times, at most ten.
  static constexpr auto kProcessorsPause = std::chrono::milliseconds(20);
  static constexpr int kCallsInVain = 8;
  static constexpr base::Duration kShortCallsAtMost = std::chrono::seconds(1);
  static constexpr base::Duration kInVainAtMost = std::chrono::seconds(10);

 private:
  enum class State : std::uint8_t {
    kStarting,
    kIdle,
    kFrozen,
    kOpen,  // at work, with room for more
    kFull,  // or spoiled
    kSpare,
    kFrozenSpare,
  };
  struct Instance {
    State state = State::kStarting;
    bool spoiled = false;
    bool displaced = false;  // its start had others end for it
    std::uint32_t calls = 0;
    base::SteadyTime since{};                    // when the state began; at work: when the calls were counted last
    base::Duration worked{};                     // calls x time since one has left
    std::list<base::InstanceId>::iterator at{};  // in the list of its state
  };

  bool has_room() const { return !open_.empty() || idle() > 0 || spare_waits(); }
  bool spare_waits() const { return spare_ && instances_.at(*spare_).state != State::kStarting; }
  base::InstanceId start_one(base::SteadyTime now, Actions& out);
  /// The minimum takes the spare.
  void adopt_spare();
  /// Serves the queue as far as there is room, and puts the instance where it belongs.
  void offer(base::InstanceId id, base::SteadyTime now, Actions& out);
  void lease(CallId call, base::SteadyTime now, Actions& out);
  void take_call(Instance& instance, base::SteadyTime now);
  void count_calls(std::int32_t more);
  void leave_call(base::InstanceId id, bool fit, base::SteadyTime now, Actions& out);
  void place(Instance& instance, State state);
  std::list<base::InstanceId>& list_of(State state);
  /// What the minimum is of: without reuse the instances that wait for their one call, else all.
  std::uint32_t kept() const {
    const bool starts = spare_ && !spare_waits();
    return options_.reuse ? instances() - (spare_ ? 1 : 0) : idle() + starting_ - (starts ? 1 : 0);
  }
  bool above_minimum() const { return kept() > options_.instances_min; }
  base::SteadyTime starts_from() const { return instances_.empty() ? base::SteadyTime{} : room_retry_at_; }
  std::uint32_t missing() const { return options_.instances_min > kept() ? options_.instances_min - kept() : 0; }
  /// Whether a start would be for the minimum alone.
  bool only_minimum() const { return queue_.empty() && missing() > 0; }
  /// The instance that has idled longest; one must be idle.
  base::InstanceId coldest() const { return (frozen_.empty() ? idle_ : frozen_).back(); }
  void may_displace_again();
  void retire(base::InstanceId id, Actions& out);
  void remove(base::InstanceId id);
  void start_what_is_wanted(base::SteadyTime now, Actions& out);
  std::uint32_t starts_for_queue(base::SteadyTime now);
  /// Of as many calls that wait as `wanted`, how many are to have starts now.
  std::uint64_t with_a_processor(std::uint64_t wanted, base::SteadyTime now);
  std::uint32_t starts_with_a_processor(std::uint32_t wanted, base::SteadyTime now) const;
  bool heeds_processors() const { return processors_ != nullptr && options_.reuse && processor_bound_.computes(); }
  /// By the limits; a zygote may be missing.
  std::uint32_t starts_allowed() const;
  /// What a call that arrives now is likely to wait.
  base::Duration likely_wait(base::SteadyTime now) const;
  void refuse_all(Refuse::Why why, Actions& out);
  void check() const;

  DispatcherOptions options_;
  std::atomic<std::uint64_t>* next_instance_;
  Processors* processors_;
  ZygoteState zygote_ = ZygoteState::kAbsent;
  base::SteadyTime zygote_retry_at_{};
  struct Waiting {
    CallId call;
    base::SteadyTime since;
  };

  std::uint32_t start_failures_ = 0;     // in a row
  base::SteadyTime start_failed_at_{};   // the last of them
  base::SteadyTime minimum_retry_at_{};  // after failures, or for want of room
  base::SteadyTime displaces_from_{};    // for the minimum
  base::Duration displace_pause_ = kDisplacePauseMin;
  base::SteadyTime room_retry_at_{};  // of any start, while there are instances to wait for
  bool no_room_ = false;              // for the last start that was wanted
  std::uint32_t starting_ = 0;
  std::uint32_t leases_ = 0;  // calls under way
  bool closed_ = false;
  base::SteadyTime moved_at_{};    // when the last call left, or the first of those at work or starting came
  base::SteadyTime held_until_{};  // no start is asked for before, for want of processors
  ForkOrWait fork_or_wait_;
  ProcessorBound processor_bound_;
  Spares spares_;
  std::optional<base::InstanceId> spare_;
  std::list<Waiting> queue_;
  std::unordered_map<CallId, std::list<Waiting>::iterator> queued_at_;
  std::unordered_map<base::InstanceId, Instance> instances_;
  // The node of a list moves with its instance, so that a warm call allocates nothing.
  std::list<base::InstanceId> idle_;    // front: used last, leased first, so that the back can go cold
  std::list<base::InstanceId> frozen_;  // the same order; each has idled longer than all in idle_
  std::list<base::InstanceId> open_;    // front: leased last, leased first, so that the others empty
  std::list<base::InstanceId> leased_;  // starting, full, or the spare
};

}  // namespace ebb::sched
