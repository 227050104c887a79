// The spare of a version: started between calls when its loading takes long, there is room, and nobody waits for a
// turn.
#include "io/deadline.h"
#include "node/spare_room.h"
#include "node/start_turns.h"
#include "node/version_runner.h"
#include "sched/keep_alive_worth.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kGoneLimit = 10s;  // from the order to the end; a web server is given time to end by itself
constexpr auto kLookAgain = 2ms;

}  // namespace

// Its successor is started here too and not by the call that took it, which is most often over before this is asked
// again, and has the processors to itself.
void VersionRunner::follow_spare(base::SteadyTime now) {
  base::Bytes expected;
  if (gate_->bounds_room()) {  // what is spared here would be missing for a call there
    handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) { dispatcher_.give_up_spare(actions); });
    return;
  }
  bool unwanted = false;
  {
    base::MutexLock lock(mutex_);
    const bool comes = comes_soon(now);
    unwanted = spare_residency_ && !spare_residency_->wanted(now) && !comes;
    if (unwanted ? dispatcher_.spares() == 0 : !dispatcher_.wants_spare()) return;
    if (residency_ && !residency_->wanted(now) && !comes) return;  // it goes with its zygote
    expected = instance_bytes_.value().count > 0 ? instance_bytes_.value() : zygote_bytes_;
  }
  if (unwanted) {
    handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) { dispatcher_.rest_spare(actions); });
    return;
  }
  if (!services_.turns->calm()) return;
  std::optional<SpareRoom::Place> place = services_.spare_room->take(expected);
  if (!place) return;
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (!dispatcher_.wants_spare()) return;
    dispatcher_.start_spare(now, actions);
    spare_place_.emplace(*std::move(place));
  });
}

void VersionRunner::note_loading(const sandbox::Instance& instance) {
  // One that is started from nothing has no zygote that could have spared it more.
  const bool boots = instance.rung == model::Rung::kBoot;
  dispatcher_.loaded(boots ? instance.ready_at - instance.ordered_at : instance.init);
  const bool is_spare = dispatcher_.spare() == instance.id;
  if (!is_spare && !dispatcher_.keeps_spares()) return;
  const base::Bytes used = instance.memory_peak();
  if (is_spare && spare_place_) spare_place_->resize(used);
  if (spare_residency_) {
    static_cast<sched::WorthKeepAlive&>(spare_residency_->policy())
        .set_costs(static_cast<double>(used.count) / (1 << 30), instance.ready_at - instance.ordered_at);
  }
}

std::optional<base::SteadyTime> VersionRunner::spare_unused_since() {
  base::MutexLock lock(mutex_);
  return dispatcher_.spares() > 0 ? std::optional(last_used_) : std::nullopt;
}

io::Task<bool> VersionRunner::give_up_spare() {
  std::shared_ptr<sandbox::Instance> going;
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    const auto id = dispatcher_.spare();
    if (dispatcher_.give_up_spare(actions)) going = instances_.at(*id);
  });
  if (!going) co_return false;
  const base::SteadyTime deadline = base::steady_now() + kGoneLimit;
  co_await going->exited.wait(deadline);
  while (counts(going->id) && base::steady_now() < deadline) co_await io::sleep_for(kLookAgain);
  co_return true;
}

bool VersionRunner::counts(base::InstanceId id) {
  base::MutexLock lock(mutex_);
  return instances_.contains(id);
}

}  // namespace ebb::node
