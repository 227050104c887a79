// Runs one function version: carries out what sched::Dispatcher decides, with the launcher, and serves invocations.
//
// 1. The dispatcher and the tables beside it are behind one mutex, held for O(1) work and never over a wait.
// 2. A call waits for a grant; the grant is an instance it holds alone until it gives it back, or the reason for a
// refusal.
// 3. One zygote start at a time; whoever needs the zygote waits for that one.
// Called by Engine; the launcher's events arrive through Directory.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "base/mutex.h"
#include "io/one_shot.h"
#include "meter/held_count.h"
#include "model/version.h"
#include "node/node.h"
#include "node/runtime_plan.h"
#include "node/sandbox_pool.h"
#include "node/services.h"
#include "node/spare_room.h"
#include "node/start_turns.h"
#include "sandbox/instance.h"
#include "sched/dispatcher.h"
#include "sched/memory_estimate.h"
#include "sched/residency.h"
#include "sched/scale_schedule.h"
#include "sched/timer_plan.h"

namespace ebb::node {

/// What became of a zygote start, for the deployment that waits for it.
struct ZygoteOutcome {
  base::Result<> result;
  std::string detail;        // the traceback when user init raised, else what it printed last
  std::string unfit_reason;  // why it cannot be forked; empty when it can
};

/// What a version keeps in memory, and could give up now.
struct Holding {
  base::Bytes bytes;            // zygote and idle instances; zero while it is at work or has a minimum to keep
  base::Duration start_time{};  // of a zygote: what the next call would wait
  std::uint32_t calls = 0;      // since it was asked last
};

class VersionRunner : public std::enable_shared_from_this<VersionRunner> {
 public:
  /// `secrets`: what it is given; an error is that of every start.
  VersionRunner(Services& services, model::Version version, std::uint32_t uid_index,
                base::Result<SecretValues> secrets);

  /// The answer to a call that arrives when too many wait for it to be taken; nothing else is done for such a call, and
  /// its body is not read. Cost: one lock, O(1).
  std::optional<Reply> refuses(const Call& call);
  /// Waits for an instance and runs the call in it. Cancelling withdraws or kills it. The call outlives the task; when
  /// the reply says `replaced` it is as it was, for another version to run.
  io::Task<Reply> invoke(Call& call);
  /// Makes the zygote if there is none and waits for it: what a deployment tries before it publishes.
  io::Task<ZygoteOutcome> prepare();
  /// The same without waiting, and the minimum of instances.
  void prewarm();
  /// Retires what has been idle too long. A tenth of a second later again, or when tick_due() says so.
  void tick(base::SteadyTime now);
  /// Whether there is something to look at: a version in which nothing goes on is looked at once a second. Cost: an
  /// atomic load.
  bool tick_due(base::SteadyTime now) const { return now >= next_look_.load(std::memory_order_relaxed); }
  /// How it is called. The current version keeps all that `scale` says; one that an alias stands for the minimum of
  /// instances and a spare, for calls come by that name; an old one nothing. Calls go on.
  enum class Standing : std::uint8_t { kCurrent, kAliased, kOld };
  void stand_as(Standing standing);
  /// No new calls; busy instances finish, then the launcher forgets the version. Until then the runner keeps itself
  /// alive, for who closes it lets go of it.
  void close();

  /// A call is known to come then: what serves it is loaded ahead. One before, whose time has come, is on its way.
  void expect_call(base::SteadyTime due, base::SteadyTime now);

  /// Writes a record of what it held, when that began at least `interval` ago. Called off the request path.
  /// Errors: kUnavailable (disk full); then it is in the next one.
  base::Result<> note_held(base::SteadyTime now, base::Duration interval);

  Holding holding();
  /// Lets go of zygote and idle instances, and waits until the kernel has their memory back. False, and nothing is
  /// done, when it holds nothing or is at work. The next call makes the zygote anew.
  enum class Because : std::uint8_t { kPlan, kPressure };
  io::Task<bool> yield(Because why);

  /// Since when its calls wait though it has a zygote, for want of the memory of an instance; nothing when it is not
  /// so.
  std::optional<base::SteadyTime> stuck_since();
  /// Lets go of the zygote while it is stuck, so that others get on; its calls go on waiting, for another. As yield().
  io::Task<bool> give_way();

  /// Since when the function was not called, when it keeps a spare that is ready; else nothing.
  std::optional<base::SteadyTime> spare_unused_since();
  /// Ends the spare, which is not replaced until the next call, and waits until it is gone. False when none was ready.
  io::Task<bool> give_up_spare();

  void instance_exited(const wire::Exited& event);
  void zygote_exited(std::uint64_t zygote);

  /// Brings the metrics of processor time up to date. Cost: a pread for each instance.
  void count_cpu();

  /// Since when the function was not called, when it has an idle instance beyond its minimum; else nothing.
  std::optional<base::SteadyTime> idle_since();
  /// Tells the one that would be used last to end. False when there is none beyond the minimum.
  bool retire_idle();

  FunctionView view();
  const model::Version& version() const { return version_; }
  const base::Result<SecretValues>& secrets() const { return secrets_; }
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  const std::shared_ptr<sandbox::HeldOfApp>& request_bodies() const { return request_bodies_; }
  /// Neither a call nor an instance, and none for the given time; nor is a zygote on its way.
  bool unused_for(base::Duration time, base::SteadyTime now);

 private:
  struct Refusal {
    sched::Refuse::Why why;
    base::Duration wait{};
  };
  using Claim = sched::Dispatcher::Claim;
  using Grant = std::variant<std::shared_ptr<sandbox::Instance>, Refusal>;
  using Waiter = std::shared_ptr<io::OneShot<Grant>>;

  /// What is done once the mutex is free.
  struct Effects {
    std::vector<std::pair<Waiter, Grant>> grants;
    std::vector<base::InstanceId> starts;
    std::vector<std::shared_ptr<sandbox::Instance>> retired;
    std::vector<std::pair<wire::LauncherType, wire::FreezeOrder>> freezes;  // kFreeze or kThaw
    bool start_zygote = false;
    std::uint64_t hurry = 0;  // the place of its zygote's load among those ahead of need
    std::optional<base::SteadyTime> wake_at;
  };

  static constexpr int kTriesMost = 64;  // of a start that finds no memory, each after a relief
  // The launcher's answer to an order that runs no user init: it has the reason when a fork took too long.
  static constexpr std::chrono::seconds kOrderLimit{30};
  static_assert(kOrderLimit > limits::kBirthTimeout);

  /// Tells the dispatcher of an event and carries out what it decides.
  template <typename Event>
  void handle(Event&& event) EBB_EXCLUDES(mutex_) {
    Effects effects;
    {
      base::MutexLock lock(mutex_);
      sched::Actions actions;
      const base::SteadyTime now = base::steady_now();
      held_.advance(now, processes());
      if (resting_) wake(now);
      event(actions);
      effects = collect(actions);
    }
    perform(std::move(effects));
  }
  Effects collect(const sched::Actions& actions) EBB_REQUIRES(mutex_);
  void perform(Effects effects) EBB_EXCLUDES(mutex_);

  /// Lets a web server end by itself, and its instance with it; then ends both.
  static io::Task<> end_program(std::shared_ptr<VersionRunner> self, std::shared_ptr<sandbox::Instance> instance);
  /// Waits until then and gives the dispatcher a tick.
  static io::Task<> look_again(std::shared_ptr<VersionRunner> self, base::SteadyTime at);
  void woken(base::SteadyTime due) EBB_EXCLUDES(mutex_);
  bool may_yield() const EBB_REQUIRES(mutex_);
  bool is_stuck() const EBB_REQUIRES(mutex_);
  /// Forgets the zygote. Its number, or 0 when there is none.
  std::uint64_t take_zygote(const std::shared_ptr<io::OneShot<bool>>& left, sched::Actions& actions)
      EBB_REQUIRES(mutex_);
  /// Whether there is what instances are started from; else the start is taken back.
  bool has_source(base::InstanceId id);
  bool runtime_is_there() const EBB_REQUIRES(mutex_);
  /// No call is under way.
  bool at_rest() const EBB_REQUIRES(mutex_);
  /// Tells the keep-alive policy so, if it is.
  void note_rest(base::SteadyTime now) EBB_REQUIRES(mutex_);
  void follow_plan(base::SteadyTime now);
  /// A call that is known to come is near, or due.
  bool comes_soon(base::SteadyTime now) const EBB_REQUIRES(mutex_);
  /// Of its instances, by what they cost; with keep_alive_price only.
  base::Duration idle_timeout() const EBB_REQUIRES(mutex_);
  /// Tells the plan of the runtime zygote beneath of the calls since the last tick.
  void tell_runtime_plan() EBB_EXCLUDES(mutex_);
  /// Keeps as many instances ready as the hour asks for.
  void follow_schedule(base::WallTime now) EBB_EXCLUDES(mutex_);
  /// Says to the node how many instances it has, and what is to be kept free for those that it has not.
  void update_reserve() EBB_REQUIRES(mutex_);
  /// Starts the spare when it is wanted and there is room.
  void follow_spare(base::SteadyTime now) EBB_EXCLUDES(mutex_);
  Claim claim_of(base::InstanceId id) EBB_EXCLUDES(mutex_);
  void displaces(base::InstanceId id) EBB_EXCLUDES(mutex_);
  void note_loading(const sandbox::Instance& instance) EBB_REQUIRES(mutex_);
  bool counts(base::InstanceId id) EBB_EXCLUDES(mutex_);
  /// How many processes it has of each tier.
  meter::HeldCount::Processes processes() const EBB_REQUIRES(mutex_);
  /// Of each idle instance.
  std::unordered_map<base::InstanceId, model::HeldTier> resting_tiers() const EBB_REQUIRES(mutex_);
  /// Adds what is held to the metrics and to the next record, for the time since it was called last.
  void count_held(base::SteadyTime now) EBB_EXCLUDES(mutex_);
  /// The last of a tick: when the next one is due.
  void rest(base::SteadyTime now) EBB_EXCLUDES(mutex_);
  /// Nor will anything by itself before a resting version is looked at again.
  bool nothing_goes_on(base::SteadyTime now) const EBB_REQUIRES(mutex_);
  /// Something happens: what was held meanwhile is counted, and the next tick is due.
  void wake(base::SteadyTime now) EBB_REQUIRES(mutex_);
  void read_unclaimed(sandbox::Instance& instance);
  void count_unclaimed(sandbox::Instance& instance);
  static io::Task<> let_go_of(std::shared_ptr<VersionRunner> self);

  static io::Task<> make_zygote(std::shared_ptr<VersionRunner> self);
  bool lacks_memory(const ZygoteOutcome& outcome);
  /// Whether a call or a deployment waits for the zygote, and it is not loaded ahead of need.
  bool zygote_awaited() const EBB_REQUIRES(mutex_) { return dispatcher_.queued() > 0 || !zygote_waiters_.empty(); }
  io::Task<StartTurns::Turn> turn_to_load();
  io::Task<ZygoteOutcome> try_make_zygote();
  bool knows_it_is_unfit(const ReadySandbox& sandbox, ZygoteOutcome& outcome) EBB_EXCLUDES(mutex_);
  io::Task<ZygoteOutcome> do_without_zygote(std::string reason);
  io::Task<base::Result<>> register_version();
  void zygote_made(ZygoteOutcome outcome);
  static io::Task<> start_instance(std::shared_ptr<VersionRunner> self, base::InstanceId id);
  io::Task<base::Result<>> try_start(std::shared_ptr<sandbox::Instance> instance, os::Fd peer);
  io::Task<base::Result<sandbox::LauncherAnswer>> order_start(std::shared_ptr<sandbox::Instance> instance,
                                                              std::vector<os::Fd> fds);
  base::Result<std::shared_ptr<sandbox::Instance>> new_instance(base::InstanceId id, Gate::Room room, os::Fd* peer);
  /// After a start that found no memory, or no room for one more instance: waits until some is free. False when nobody
  /// gave way.
  io::Task<bool> relieved_of(base::InstanceId id, bool memory);
  /// Of a channel to an instance that is starting: how the instance ended, if that is why.
  io::Task<base::Error> why_gone(std::shared_ptr<sandbox::Instance> instance, base::Error error);
  StartTurns::Starter starter() const { return {.app = uid_index_, .function = base::raw(version_.id)}; }
  StartTurns::Starter starter_of_instance() EBB_EXCLUDES(mutex_);
  /// Of an instance that ended before it was ready: its own doing, or kUnavailable.
  base::Error end_of_start(const wire::Exited& exit) const;
  void start_ended(base::InstanceId id, const std::shared_ptr<sandbox::Instance>& instance, base::Result<> started);
  void forget_instance(base::InstanceId id);
  void drop_if_done();

  friend class Invocation;  // a call in an instance: what serve() is
  io::Task<Reply> serve(Call& call, std::shared_ptr<sandbox::Instance> instance);
  Phases phases_of(const Call& call, sandbox::Instance& instance, base::SteadyTime leased);
  /// `cpu`: what the call used of processors in `time`, its share of the instance's; zero when none was made.
  void give_back(const std::shared_ptr<sandbox::Instance>& instance, bool healthy, base::Duration cpu = {},
                 base::Duration time = {});
  void note_memory(base::Bytes used);
  Reply refused(const Call& call, const Refusal& refusal);
  base::Error too_long(base::Duration wait) EBB_REQUIRES(mutex_);
  std::string config_for_runtime(const SecretValues& secrets) const;
  /// Into the function's log, and what is not nullptr besides.
  sandbox::OutputPipe::Sink sink(store::LogStream stream, std::shared_ptr<sandbox::LastWords> last_words = nullptr);
  /// The same of a start, of which what the log does not keep is last words all the same.
  base::Result<std::shared_ptr<sandbox::OutputPipe>> open_output(store::LogStream stream,
                                                                 std::shared_ptr<sandbox::LastWords> last_words,
                                                                 os::Fd* write_end);

  Services& services_;
  const model::Version version_;
  const base::VersionId registered_as_;  // its own: another runner of the same version may still be ending
  const std::uint32_t uid_index_;
  const base::Result<SecretValues> secrets_;
  const std::shared_ptr<meter::FunctionMetrics> metrics_;
  const std::shared_ptr<meter::Account> account_;  // the app's
  const std::shared_ptr<Gate> gate_;               // the app's
  const std::shared_ptr<sandbox::AnswersOfApp> answers_;
  const std::shared_ptr<sandbox::HeldOfApp> request_bodies_;
  const std::shared_ptr<RuntimePlan> runtime_plan_;  // of the runtime zygote beneath; none without keep_alive_price

  base::Mutex mutex_;
  sched::Dispatcher dispatcher_ EBB_GUARDED_BY(mutex_);
  sched::ScaleSchedule schedule_ EBB_GUARDED_BY(mutex_);
  Standing standing_ EBB_GUARDED_BY(mutex_) = Standing::kCurrent;
  std::unordered_map<sched::CallId, Waiter> waiting_ EBB_GUARDED_BY(mutex_);
  std::unordered_map<base::InstanceId, std::shared_ptr<sandbox::Instance>> instances_ EBB_GUARDED_BY(mutex_);
  std::unordered_map<base::InstanceId, Gate::Room> rooms_ EBB_GUARDED_BY(mutex_);  // of the instances
  std::optional<SpareRoom::Place> spare_place_ EBB_GUARDED_BY(mutex_);             // while there is a spare
  std::vector<std::shared_ptr<io::OneShot<ZygoteOutcome>>> zygote_waiters_ EBB_GUARDED_BY(mutex_);
  std::uint64_t next_call_ EBB_GUARDED_BY(mutex_) = 1;
  std::uint64_t next_freeze_ EBB_GUARDED_BY(mutex_) = 1;  // the sequence of orders to freeze and thaw
  meter::HeldCount held_ EBB_GUARDED_BY(mutex_);
  std::uint64_t zygote_id_ EBB_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const RuntimeUse> zygotes_runtime_ EBB_GUARDED_BY(mutex_);  // while there is a zygote
  // The runtime zygote that instances are forked from whose init cannot be forked. Each of them has a use of it.
  std::uint64_t sandbox_id_ EBB_GUARDED_BY(mutex_) = 0;
  std::weak_ptr<const RuntimeUse> runtime_ EBB_GUARDED_BY(mutex_);
  bool registered_ = false;                    // the launcher knows the version; touched by the one zygote start only
  bool fresh_ EBB_GUARDED_BY(mutex_) = false;  // instances start without a zygote
  bool trial_ EBB_GUARDED_BY(mutex_) = false;  // a deployment waits to hear whether its init works
  std::shared_ptr<sandbox::Instance> on_trial_ EBB_GUARDED_BY(mutex_);  // for it, where there is no zygote
  bool dropped_ EBB_GUARDED_BY(mutex_) = false;
  std::shared_ptr<VersionRunner> until_dropped_ EBB_GUARDED_BY(mutex_);  // this, from close() to the launcher's order
  ZygoteOutcome last_zygote_ EBB_GUARDED_BY(mutex_);
  base::Bytes zygote_bytes_ EBB_GUARDED_BY(mutex_);              // of the newest zygote; what the next is likely to use
  sched::MemoryEstimate instance_bytes_ EBB_GUARDED_BY(mutex_);  // beyond its zygote
  std::uint32_t calls_ EBB_GUARDED_BY(mutex_) = 0;               // since holding() was asked last
  std::optional<sched::Residency> residency_ EBB_GUARDED_BY(mutex_);  // none: held while there is memory
  std::optional<sched::Residency> spare_residency_
      EBB_GUARDED_BY(mutex_);                                 // likewise; told of calls while it has spares
  std::uint32_t short_of_memory_ EBB_GUARDED_BY(mutex_) = 0;  // starts that were refused for it, and wait
  bool yielded_ EBB_GUARDED_BY(mutex_) = false;  // memory was short: nothing is loaded ahead until the next call
  std::uint64_t leaving_zygote_ EBB_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<io::OneShot<bool>> zygote_left_ EBB_GUARDED_BY(mutex_);
  base::Error last_start_error_ EBB_GUARDED_BY(mutex_);
  std::string told_short_ EBB_GUARDED_BY(mutex_);     // the want of room that was logged, until a start succeeds
  base::Error last_too_long_ EBB_GUARDED_BY(mutex_);  // as it was told last: a flood is told the same again and again
  std::uint32_t zygote_failures_ EBB_GUARDED_BY(mutex_) = 0;  // in a row: the backoff
  base::SteadyTime zygote_ordered_at_ EBB_GUARDED_BY(mutex_){};
  std::uint64_t ahead_place_ EBB_GUARDED_BY(mutex_) = 0;     // of a load that nobody waits for, while it waits; else 0
  base::Duration waited_for_turn_ EBB_GUARDED_BY(mutex_){};  // the last load
  base::SteadyTime zygote_made_at_ EBB_GUARDED_BY(mutex_){};
  base::Duration zygote_load_ EBB_GUARDED_BY(mutex_){};  // what making it took last
  sched::ExpectedCall expected_ EBB_GUARDED_BY(mutex_);
  base::Duration zygote_init_ EBB_GUARDED_BY(mutex_){};
  bool zygote_booted_sandbox_ EBB_GUARDED_BY(mutex_) = false;
  base::SteadyTime last_used_ EBB_GUARDED_BY(mutex_){};
  base::SteadyTime wakes_at_ EBB_GUARDED_BY(mutex_) = base::SteadyTime::max();  // of the earliest look_again under way
  bool resting_ EBB_GUARDED_BY(mutex_) = false;           // nothing went on at the last tick, and nothing has since
  base::SteadyTime counted_at_ EBB_GUARDED_BY(mutex_){};  // what was held until then is counted
  std::atomic<base::SteadyTime> next_look_{base::SteadyTime{}};
  // Touched by tick() only, as all that follows. The last call that the runtime's plan was told of:
  base::SteadyTime told_at_{};
  std::optional<RuntimePlan::Work> working_;
  base::SteadyTime looked_at_{};  // when the instances' memory was read
};

}  // namespace ebb::node
