// The cgroups that a version's next instances will live in: made ahead, in idle moments, since making one takes longer
// than a fork. One that starts instances has several of them ready; one that has started none for a while, as most on a
// node, keeps one: each is a group in every hierarchy, some 200 KB of the kernel's memory.
#include "base/limits.h"
#include "base/log.h"
#include "launcher/fleet.h"

namespace ebb::launcher {
namespace {

using os::CgroupTree;

constexpr std::chrono::milliseconds kRefillDelay(5);
constexpr std::size_t kAtRest = 1;
constexpr std::chrono::seconds kRest(60);  // without a start

// Whether it has started an instance lately.
bool starts(const Version& version) {
  return version.slot_taken_at && base::steady_now() - *version.slot_taken_at < kRest;
}

}  // namespace

base::Result<InstanceSlot> Fleet::make_slot(Version& version) {
  InstanceSlot slot;
  slot.cgroup = version.cgroup + "/i" + std::to_string(++version.slots_made);
  EBB_CHECKED(ground_.cgroups.make(slot.cgroup, CgroupTree::Place::kLeaf));
  const auto prepare = [&]() -> base::Result<> {
    EBB_CHECKED(ground_.cgroups.limit(slot.cgroup, {.memory_bytes = version.spec.memory_bytes,
                                                    .cpu_millis = version.spec.cpu_millis,
                                                    .pids = version.spec.pids,
                                                    .end_together = true}));
    EBB_TRY(slot.oom, ground_.cgroups.watch_oom(slot.cgroup));
    EBB_TRY(slot.doors, ground_.cgroups.open_doors(slot.cgroup));
    EBB_TRY(slot.usage, ground_.cgroups.open_usage(slot.cgroup));
    return {};
  };
  if (base::Result<> prepared = prepare(); !prepared) {
    removals_.add(slot.cgroup);
    return std::move(prepared).error();
  }
  return slot;
}

base::Result<InstanceSlot> Fleet::take_slot(Version& version) {
  version.slot_taken_at = base::steady_now();
  if (version.slots.empty()) return make_slot(version);
  InstanceSlot slot = std::move(version.slots.front());
  version.slots.pop_front();
  return slot;
}

// Not at once: a fork has just been ordered, and its birth is to find us listening.
void Fleet::refill_slots(base::VersionId id) {
  Version* version = find_version(id);
  if (version == nullptr || version->refill != Poller::Timer::kNone) return;
  version->refill = ground_.poller.after(kRefillDelay, [this, id] {
    if (Version* due = find_version(id)) due->refill = Poller::Timer::kNone;
    ground_.poller.when_idle([this, id] { refill_slot(id); });
  });
}

void Fleet::refill_slot(base::VersionId id) {
  Version* version = find_version(id);
  if (version == nullptr || version->dropping) return;
  if (version->slots.size() >= (starts(*version) ? limits::kCgroupsPremade : kAtRest)) {
    if (version->slots.size() > kAtRest && version->slots_rest == Poller::Timer::kNone) rest_slots(id, kRest);
    return;
  }
  base::Result<InstanceSlot> slot = make_slot(*version);
  if (!slot) {
    base::log(base::LogLevel::kWarning, "cgroup not made ahead", {{"error", slot.error().message}});
    return;  // tried again, and reported, when a fork needs one
  }
  version->slots.push_back(std::move(*slot));
  ground_.poller.when_idle([this, id] { refill_slot(id); });
}

void Fleet::rest_slots(base::VersionId id, std::chrono::nanoseconds delay) {
  find_version(id)->slots_rest = ground_.poller.after(delay, [this, id] {
    Version* version = find_version(id);
    if (version == nullptr) return;
    version->slots_rest = Poller::Timer::kNone;
    if (starts(*version)) return rest_slots(id, *version->slot_taken_at + kRest - base::steady_now());
    for (; version->slots.size() > kAtRest; version->slots.pop_back()) {
      removals_.add(std::move(version->slots.back().cgroup));
    }
  });
}

}  // namespace ebb::launcher
