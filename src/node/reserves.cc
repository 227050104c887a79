#include "node/reserves.h"

#include "base/limits.h"

namespace ebb::node {

void Reserves::set(const model::Version& version, Room room) {
  const Key key{version.app, version.function, version.id};
  base::MutexLock lock(mutex_);
  if (const auto at = rooms_.find(key); at != rooms_.end()) {
    all_.memory.count -= at->second.memory.count;
    all_.instances -= at->second.instances;
    rooms_.erase(at);
  }
  if (room.instances == 0) return;
  rooms_.emplace(key, room);
  all_.memory.count += room.memory.count;
  all_.instances += room.instances;
}

Reserves::Room Reserves::of_others(const model::Version& version) {
  base::MutexLock lock(mutex_);
  Room others = all_;
  for (auto at = rooms_.lower_bound({version.app, version.function, base::VersionId{}});
       at != rooms_.end() && at->first.app == version.app && at->first.function == version.function; ++at) {
    others.memory.count -= at->second.memory.count;
    others.instances -= at->second.instances;
  }
  return others;
}

base::Result<> check_reserves(const model::Manifest& wanted, const std::vector<model::Version>& current,
                              const model::Config& config) {
  std::uint64_t memory = 0;
  std::uint64_t instances = 0;
  const auto add = [&](const model::FunctionSpec& spec) {
    memory += spec.scale.reserve * spec.memory.count;
    instances += spec.scale.reserve;
  };
  for (const model::FunctionSpec& spec : wanted.functions) add(spec);
  if (instances == 0) return {};  // what others have is not this deployment's
  for (const model::Version& version : current) {
    if (version.app != wanted.app) add(version.spec);
  }
  const std::uint64_t memory_most = config.memory_budget.count / 100 * limits::kReservableShare;
  const std::uint64_t instances_most = std::uint64_t{config.max_instances} * limits::kReservableShare / 100;
  const std::string share = std::to_string(limits::kReservableShare) + " % of ";
  if (memory_most > 0 && memory > memory_most) {
    return base::invalid_argument("scale.reserve: with what other apps reserve it comes to " +
                                  base::to_string(base::Bytes{memory}) + " of memory, and " + share +
                                  "this node's memory_budget, " + base::to_string(config.memory_budget) +
                                  ", can be reserved: reserve fewer instances, or lower their memory");
  }
  if (instances > instances_most) {
    return base::invalid_argument("scale.reserve: with what other apps reserve it comes to " +
                                  std::to_string(instances) + " instances, and " + share +
                                  "this node's max_instances, " + std::to_string(config.max_instances) +
                                  ", can be reserved: reserve fewer");
  }
  return {};
}

}  // namespace ebb::node
