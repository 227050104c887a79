// One node in virtual time: the Dispatcher, the keep-alive policies and the zygote cache of sched, run against modelled
// starts and runs, a trace's calls and injected faults.
//
// 1. The machine keeps its own books of every call, instance and zygote, and holds sched to them after every event: no
//    call lost or leased twice, no busy, starting or dead instance promised, never more instances than allowed, memory
//    returned by what is gone, nothing left when the day is over. A breach is a Violation, which names the seed.
// 2. Equal options, functions and seed give equal runs, event by event.
// 3. Time passes only between events.
// Memory beyond the bound: idle zygotes are evicted; what has calls stays, so a bound can be overrun by work under way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "sched/dispatcher.h"
#include "sched/residency.h"
#include "sched/spare_bounds.h"
#include "sched/zygote_cache.h"
#include "sim/policy.h"
#include "sim/processors.h"
#include "sim/random.h"
#include "sim/schedule.h"
#include "sim/totals.h"
#include "sim/trace.h"

namespace ebb::sim {

/// A function as the simulator runs it. With zygotes its memory lies in three tiers, each held only on top of the one
/// before: the runtime zygote, the function zygote, the instances. Without them an instance holds all of it.
struct Load {
  const TraceFunction* trace = nullptr;
  Curve whole_ms;    // an instance from nothing
  Curve runtime_ms;  // the runtime zygote from nothing
  Curve zygote_ms;   // the function zygote, forked from a runtime zygote that is there
  Curve fork_ms;     // an instance, forked from a function zygote that is there
  Curve load_ms;     // what each instance loads after that; empty where it is forked loaded
  double runtime_mb = 0;
  double zygote_mb = 0;    // beside the runtime zygote
  double instance_mb = 0;  // beside the function zygote
  // Of Mechanics::kNode only.
  std::uint32_t app = 0;  // whose functions share a runtime zygote
  Curve idle_ms;          // what a call waits that finds an idle instance
  double deployed_s = 0;  // when its zygote was first asked for, from the machine's start
};

/// Chances per event; all zero by default.
struct Faults {
  double crash_in_call = 0;  // the instance dies while it serves
  double spoiled = 0;        // an instance is not fit for more after a call
  double crash_idle = 0;     // after a call, some time later
  double zygote_death = 0;   // of a ready zygote, some time after it was made
  double start_failure = 0;  // of an instance
  double boot_failure = 0;   // of a zygote
  double slow_start = 0;     // a start takes 100 times as long
  double withdrawal = 0;     // a caller goes away while it waits
  double spare_wanted = 0;   // at an event: the function's spare is given up, for others' sake
  double lost_memory = 0;    // at a call: half of the bound goes, and returns a minute later
  double clock_step = 0;     // at an event: sched's time is up to a minute ahead, or 10 ms behind, of the last one
};

struct MachineOptions {
  PolicyOptions policy;
  Spread spread = Spread::kUniform;
  Faults faults;
  std::uint32_t instances_max = 1000;
  std::uint32_t concurrency = 1;  // as in sched::DispatcherOptions
  std::size_t queue_max = 10'000;
  std::uint32_t starting_max = 32;
  bool reuse = true;                                    // as in sched::DispatcherOptions
  base::Duration freeze_after = base::Duration::max();  // likewise
  base::Duration spare_from = base::Duration::max();    // likewise; with zygotes only
  std::uint32_t spares_most = UINT32_MAX;               // as in sched::SpareBounds
  base::Bytes spare_memory{};                           // likewise
  // Of Mechanics::kNode only: starts share so many processors, and with them the part of their run times that calls
  // compute, from their beginning. 0: nothing waits for a processor.
  double processors = 0;
  double computed = 0;
};

/// What of a planned run is counted.
struct Stretch {
  std::int64_t lead_ns = 0;  // from the machine's start: deployments only, nothing is counted; calls come after it
  std::int64_t length_ns = 0;
  std::int64_t bucket_ns = 60'000'000'000;  // the grain of the totals' series
};

class Machine {
 public:
  Machine(MachineOptions options, std::vector<Load> loads, Random random);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// Runs the trace's minutes; with `drain` on until nothing happens any more, which a policy that holds for ever never
  /// reaches. Held memory is counted to the end of the trace.
  void run(std::uint32_t minutes, bool drain = false);
  /// The same for calls that are laid out already, in order of arrival, instead of the trace's: as a node would serve
  /// them whose functions are deployed at Load::deployed_s.
  void run(const std::vector<PlannedCall>& calls, const Stretch& stretch);

  const Totals& totals() const { return totals_; }
  /// The first breach of an invariant; nothing more was simulated after it.
  const std::optional<std::string>& violation() const { return violation_; }

 private:
  using Nanos = std::int64_t;
  enum class Kind : std::uint8_t {
    kFinish,
    kInstanceReady,
    kZygoteReady,
    kTimer,
    kIdleCrash,
    kZygoteDeath,
    kWithdraw,
    kMemoryBack,
    kPrewarmRetry,
    kDeployed,
    kSpareDue,
    kRuntimeReady,
    kWorkEnds,
    kComputed,
  };
  struct Event {
    Nanos at;
    std::uint64_t order;  // of making: equal times run in that order
    Kind kind;
    std::uint32_t function;
    std::uint64_t
        subject;  // instance, call (its life and slot), zygote life, or how often the processors changed hands
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  enum class CallState : std::uint8_t { kFree, kWaiting, kRunning };
  struct CallSlot {
    CallState state = CallState::kFree;
    std::uint32_t function = 0;
    std::uint32_t life = 0;  // distinguishes calls that use the slot one after the other
    Nanos arrived = 0;
    Nanos began = 0;
    bool saw_zygote = false;
    double run_ms = 0;            // negative: to be drawn
    base::InstanceId instance{};  // while it runs
    bool computing = false;       // likewise: not yet all of its part
    bool slept = false;           // likewise: its run time is over
  };
  enum class InstanceState : std::uint8_t { kStarting, kIdle, kBusy };
  struct SimInstance {
    InstanceState state = InstanceState::kStarting;
    bool frozen = false;
    bool served = false;  // a call, before
    bool spare = false;   // started ahead, for nobody in particular
    std::uint32_t function = 0;
    bool spoiled = false;
    double load_ms = 0;
    std::vector<std::uint64_t> calls;  // slots; while it is busy
    Nanos ready_at = INT64_MAX;
  };
  struct Arrival {
    Nanos at = 0;
    std::uint32_t function = 0;
    double run_ms = -1;  // negative: to be drawn
  };
  struct Function;
  /// A runtime zygote that the functions of an app share: Mechanics::kNode.
  struct Runtime {
    double megabytes = 0;
    Curve boot_ms;
    sched::Residency residency;
    std::uint32_t calls = 0;    // waiting or running, of its functions
    std::uint32_t zygotes = 0;  // in it, ready or in the making
    bool needed = false;        // ever
    bool up = false;            // made, or in the making
    bool ready = false;
    struct Zygote {
      std::uint32_t function;
      std::uint64_t life;
      double takes_ms;
    };
    std::vector<Zygote> waiting;  // until it is ready
  };

  Nanos random_in(Nanos from, Nanos to);
  base::SteadyTime sched_now();
  void push(Nanos at, Kind kind, std::uint32_t function, std::uint64_t subject);
  void advance(Nanos to);
  void end_bucket(Nanos length);
  void run_until(Nanos border);

  void arrivals_of(std::uint32_t minute);
  void arrive(const Arrival& arrival);
  void handle(const Event& event);
  void finish(Function& function, std::uint64_t subject);
  /// The slot of a call in that state; nothing when it has left the state since.
  std::optional<std::uint64_t> call_of(std::uint64_t subject, CallState state) const;
  void instance_ready(Function& function, std::uint64_t instance);
  void zygote_ready(Function& function, std::uint64_t life);
  void crash(Function& function, std::uint64_t instance);
  void withdraw(std::uint64_t subject);

  void perform(Function& function);
  void lease(Function& function, const sched::LeaseTo& lease);
  double start_time(const Curve& milliseconds);
  void start_runtime(Function& function);
  void start_zygote(Function& function);
  void kill_zygote(Function& function);
  void start_instance(Function& function, base::InstanceId id);
  void forget_instance(Function& function, base::InstanceId id);
  void end_call(std::uint64_t slot);
  void settle(Function& function);
  void settle_runtime(Function& function);
  void settle_memory(Function& function);

  // machine_spares.cc
  bool may_have_spare(const Function& function);
  void settle_spare(Function& function);
  void spare_due(Function& function);
  void look_at_spare(Function& function);
  bool let_a_spare_go();
  void check_spares(const Function& function);

  // machine_processors.cc
  bool calls_compute() const { return options_.processors > 0 && options_.computed > 0; }
  void take_processor(double milliseconds, Kind end, std::uint32_t function, std::uint64_t subject);
  void work_ends(std::uint64_t change);
  void look_at_processors();
  void run_call(CallSlot& call, double run_ms, std::uint64_t subject);
  bool is_over(const Event& event);
  void tell_use(Function& function, const CallSlot& call);

  // machine_node.cc
  void make_runtime(Function& function, const FunctionCosts& costs);
  void begin_as_node();
  void deploy(Function& function);
  void learn_costs(Function& function);
  void settle_as_node(Function& function);
  Runtime& runtime_of(const Function& function);
  void start_zygote_in_shared_runtime(const Function& function);
  void boot_shared_runtime(const Function& function);
  void shared_runtime_ready(const Function& function);
  void settle_shared_runtime(const Function& function);
  void count_start(const CallSlot& call, SimInstance& instance, const Load& load, bool spare);
  void release(Function& function);
  void evict();
  void arm_timer(Function& function);
  void hold(Function& function, double megabytes);
  void use(double megabytes);

  void check(const Function& function);
  void check_all_returned();
  void breach(const Function* function, const std::string& what);

  MachineOptions options_;
  const bool zygotes_;
  Random random_;
  sched::Processors node_processors_;  // as the dispatchers know them
  std::vector<Function> functions_;
  std::vector<CallSlot> calls_;
  std::vector<std::uint64_t> free_calls_;
  std::unordered_map<base::InstanceId, SimInstance> instances_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  Processors<Event> processors_;
  std::uint64_t processor_changes_ = 0;
  Nanos looked_at_ = 0;  // the processors, as all below
  double stalled_ = 0;
  std::vector<Arrival> arrivals_;
  std::size_t next_arrival_ = 0;
  std::atomic<std::uint64_t> next_instance_ = 1;
  sched::Actions actions_;
  sched::ZygoteCache cache_;
  sched::SpareBounds spare_bounds_;
  std::unordered_map<std::uint32_t, Runtime> runtimes_;  // by app
  Totals totals_;
  std::optional<std::string> violation_;
  Nanos now_ = 0;
  Nanos skew_ = 0;
  std::uint64_t order_ = 0;
  double held_mb_ = 0;
  double used_mb_ = 0;
  double spare_mb_ = 0;       // of held: by spares
  double needed_mb_ = 0;      // of held: what calls under way are in, zygotes once
  double billed_mb_ns_ = 0;   // of calls that have left, from their own times
  std::uint32_t spares_ = 0;  // by the machine's books, as all above
  double minute_held_ = 0;    // MB x ns of the current minute
  double minute_used_ = 0;
};

}  // namespace ebb::sim
