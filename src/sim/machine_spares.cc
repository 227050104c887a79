// Spares in the simulated machine: what node/version_spare and node/spare_room do with the decisions of sched/spares
// and sched/spare_bounds.
//
// Held to: never more than allowed; one that is ready and a call that waits, or is refused, are never there together;
// nobody pays for one (what calls used, by their own times, is all that was used); nothing else gives way to others
// while a spare is there. Left out: turns, so a spare is started however busy processors are.
#include "base/check.h"
#include "sim/machine_function.h"

namespace ebb::sim {
namespace {

constexpr std::int64_t kLook = 50'000'000;  // half of a node's tick, from a call to the look that starts the next spare

base::Bytes bytes(double megabytes) { return {static_cast<std::uint64_t>(megabytes * (1 << 20))}; }

}  // namespace

bool Machine::may_have_spare(const Function& function) {
  return !function.load.load_ms.empty() && options_.spare_from != base::Duration::max() && options_.spares_most > 0;
}

void Machine::settle_spare(Function& function) {
  const bool wanted = function.spare_residency.wanted(sched_now());
  if (!wanted && function.dispatcher.rest_spare(actions_)) perform(function);
  if (!wanted || function.spare_due || !function.dispatcher.wants_spare()) return;
  function.spare_due = true;
  push(now_ + kLook, Kind::kSpareDue, function.index, 0);
}

// As long as it holds its zygote, and its own plan says so; what was evicted waits for its next call.
void Machine::spare_due(Function& function) {
  function.spare_due = false;
  const bool wanted = function.residency.wanted(sched_now()) && function.spare_residency.wanted(sched_now());
  if (function.evicted || !wanted || !function.dispatcher.wants_spare()) return;
  if (!spare_bounds_.take(bytes(function.load.instance_mb))) return;
  ++spares_;
  spare_mb_ += function.load.instance_mb;
  function.dispatcher.start_spare(sched_now(), actions_);
  function.spare = function.dispatcher.spare();
  perform(function);
}

// A call has taken it, the minimum has, or it has ended.
void Machine::look_at_spare(Function& function) {
  if (!function.spare || function.dispatcher.spare()) return;
  function.spare.reset();
  spare_bounds_.give_back(bytes(function.load.instance_mb));
  --spares_;
  spare_mb_ -= function.load.instance_mb;
}

bool Machine::let_a_spare_go() {
  if (spares_ == 0) return false;
  Function* longest_ago = nullptr;
  for (Function& function : functions_) {
    if (function.dispatcher.spares() == 0) continue;
    if (longest_ago == nullptr || function.called_at < longest_ago->called_at) longest_ago = &function;
  }
  if (longest_ago == nullptr) return false;  // all of them are starting
  longest_ago->dispatcher.give_up_spare(actions_);
  perform(*longest_ago);
  cache_.insert(longest_ago->index, bytes(longest_ago->held_mb),
                base::Duration(static_cast<std::int64_t>(longest_ago->load.whole_ms.mean() * 1e6)));
  return true;
}

void Machine::check_spares(const Function& function) {
  if (spares_ > options_.spares_most) breach(&function, "more spares than allowed");
  if (function.spare != function.dispatcher.spare()) breach(&function, "sched counts another spare than there is");
  if (function.dispatcher.spares() > 0 && function.waiting > 0) breach(&function, "a call waits beside a spare");
  if (!function.spare) return;
  const SimInstance& instance = instances_.at(*function.spare);
  if (instance.served || !instance.calls.empty()) breach(&function, "a spare serves a call");
}

}  // namespace ebb::sim
