// The machine's processors: what waits for them, what it takes longer for that, and what the dispatchers are told.
//
// A call computes its part first and sleeps for the rest, as the functions of `ebb replay` do: with a processor of its
// own it takes its run time, and longer only when it gets its part later than that.
#include <utility>

#include "sim/machine_function.h"

namespace ebb::sim {

// Until the event that ends it: so long when it has a processor to itself, else as long as it takes to get as much.
void Machine::take_processor(double milliseconds, Kind end, std::uint32_t function, std::uint64_t subject) {
  const Nanos alone = std::max<Nanos>(1, static_cast<Nanos>(milliseconds * 1e6));
  if (options_.processors <= 0) return push(now_ + alone, end, function, subject);
  processors_.begin(now_, alone, {.at = now_, .order = 0, .kind = end, .function = function, .subject = subject});
  push(processors_.next_end(), Kind::kWorkEnds, 0, ++processor_changes_);
}

void Machine::work_ends(std::uint64_t change) {
  if (change != processor_changes_) return;  // more has begun since
  for (const Event& end : processors_.take_ended(now_)) handle(end);
  if (processors_.size() > 0) push(processors_.next_end(), Kind::kWorkEnds, 0, ++processor_changes_);
}

// As node/processor_pressure.cc looks, but at every event at most: nothing happens in between.
void Machine::look_at_processors() {
  if (!calls_compute()) return;
  const base::Duration passed{now_ - looked_at_};
  if (passed < sched::Processors::kPause) return;
  looked_at_ = now_;
  const double stalled = processors_.stalled(now_);
  const double waited = stalled - std::exchange(stalled_, stalled);
  const auto runnable = static_cast<double>(processors_.size());
  if (sched::Processors::waited_much(passed, base::Duration(static_cast<Nanos>(waited)))) {
    node_processors_.seen(runnable, sched_now());
  }
}

void Machine::run_call(CallSlot& call, double run_ms, std::uint64_t subject) {
  call.run_ms = run_ms;
  call.computing = calls_compute();
  call.slept = false;
  push(now_ + static_cast<Nanos>(run_ms * 1e6), Kind::kFinish, call.function, subject);
  if (call.computing) take_processor(run_ms * options_.computed, Kind::kComputed, call.function, subject);
}

// False for the first of the two ends of a call that computes.
bool Machine::is_over(const Event& event) {
  if (event.kind != Kind::kFinish && event.kind != Kind::kComputed) return true;
  const std::optional<std::uint64_t> slot = call_of(event.subject, CallState::kRunning);
  if (!slot) return event.kind == Kind::kFinish;  // its instance has died; what it computed is nobody's event
  CallSlot& call = calls_[*slot];
  if (event.kind == Kind::kFinish) {
    call.slept = true;
  } else {
    call.computing = false;
  }
  return call.slept && !call.computing;
}

void Machine::tell_use(Function& function, const CallSlot& call) {
  if (!calls_compute()) return;
  const base::Duration cpu{static_cast<Nanos>(call.run_ms * options_.computed * 1e6)};
  function.dispatcher.call_used(cpu, base::Duration(now_ - call.began), sched_now());
}

}  // namespace ebb::sim
