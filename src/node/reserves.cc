#include "node/reserves.h"

#include <algorithm>

#include "base/limits.h"

namespace ebb::node {

namespace {

// What an app reserves, in numbers that the node's are compared with.
struct Reserved {
  std::uint64_t memory = 0;
  std::uint64_t instances = 0;
  std::uint64_t largest = 0;  // `memory` of a function

  void add(const model::FunctionSpec& spec) {
    memory += spec.scale.reserve * spec.memory.count;
    instances += spec.scale.reserve;
    largest = std::max(largest, spec.memory.count);
  }
  void add_app(std::uint32_t reserve) {
    memory = std::max(memory, reserve * largest);
    instances = std::max<std::uint64_t>(instances, reserve);
  }
};

}  // namespace

Reserves::Room Reserves::lacking(const Use& use) {
  const std::uint32_t missing = use.reserve > use.instances ? use.reserve - use.instances : 0;
  return {.memory = base::Bytes{missing * use.each.count}, .instances = missing};
}

Reserves::Room Reserves::lacking(const App& app) {
  Room of_functions;
  std::uint64_t instances = 0;
  std::uint64_t largest = 0;
  for (const auto& [key, use] : app.uses) {
    const Room one = lacking(use);
    of_functions.memory.count += one.memory.count;
    of_functions.instances += one.instances;
    instances += use.instances;
    largest = std::max(largest, use.each.count);
  }
  if (largest == 0 || app.reserve <= instances) return of_functions;
  const auto missing = static_cast<std::uint32_t>(app.reserve - instances);
  return {.memory = base::Bytes{std::max(of_functions.memory.count, missing * largest)},
          .instances = std::max(of_functions.instances, missing)};
}

void Reserves::count(const std::string& name, App& app) {
  all_.memory.count -= app.lacks.memory.count;
  all_.instances -= app.lacks.instances;
  app.lacks = lacking(app);
  all_.memory.count += app.lacks.memory.count;
  all_.instances += app.lacks.instances;
  if (app.uses.empty() && app.reserve == 0) apps_.erase(name);
}

void Reserves::set_app(const std::string& app, std::uint32_t reserve) {
  base::MutexLock lock(mutex_);
  App& found = apps_[app];
  found.reserve = reserve;
  count(app, found);
}

std::uint32_t Reserves::of_app(const std::string& app) {
  base::MutexLock lock(mutex_);
  const auto found = apps_.find(app);
  return found == apps_.end() ? 0 : found->second.reserve;
}

void Reserves::set(const model::Version& version, Use use) {
  base::MutexLock lock(mutex_);
  App& app = apps_[version.app];
  const Key key{version.function, version.id};
  if (use.reserve == 0 && use.instances == 0 && use.each.count == 0) {
    app.uses.erase(key);
  } else {
    app.uses.insert_or_assign(key, use);
  }
  count(version.app, app);
}

Reserves::Room Reserves::of_others(const model::Version& version) {
  base::MutexLock lock(mutex_);
  Room others = all_;
  const auto own = apps_.find(version.app);
  if (own == apps_.end()) return others;
  others.memory.count -= own->second.lacks.memory.count;
  others.instances -= own->second.lacks.instances;
  for (const auto& [key, use] : own->second.uses) {
    if (key.function == version.function) continue;
    const Room one = lacking(use);
    others.memory.count += one.memory.count;
    others.instances += one.instances;
  }
  return others;
}

base::Result<> check_reserves(const model::Manifest& wanted, const std::vector<model::Version>& current,
                              const std::vector<store::App>& apps, const model::Config& config) {
  Reserved own;
  for (const model::FunctionSpec& spec : wanted.functions) own.add(spec);
  own.add_app(wanted.scale.reserve);
  if (own.instances == 0) return {};  // what others have is not this deployment's
  std::map<std::string, Reserved> others;
  for (const model::Version& version : current) {
    if (version.app != wanted.app) others[version.app].add(version.spec);
  }
  for (const store::App& app : apps) {
    if (const auto at = others.find(app.name); at != others.end()) at->second.add_app(app.scale.reserve);
  }
  std::uint64_t memory = own.memory;
  std::uint64_t instances = own.instances;
  for (const auto& [name, one] : others) {
    memory += one.memory;
    instances += one.instances;
  }
  const std::uint64_t memory_most = config.memory_budget.count / 100 * limits::kReservableShare;
  const std::uint64_t instances_most = std::uint64_t{config.max_instances} * limits::kReservableShare / 100;
  const std::string share = std::to_string(limits::kReservableShare) + " % of ";
  const std::string sum = std::string(wanted.scale.reserve > 0 ? "reserve" : "scale.reserve") +
                          ": with what other apps reserve it comes to ";
  if (memory_most > 0 && memory > memory_most) {
    return base::invalid_argument(sum + base::to_string(base::Bytes{memory}) + " of memory, and " + share +
                                  "this node's memory_budget, " + base::to_string(config.memory_budget) +
                                  ", can be reserved: reserve fewer instances, or lower their memory");
  }
  if (instances > instances_most) {
    return base::invalid_argument(sum + std::to_string(instances) + " instances, and " + share +
                                  "this node's max_instances, " + std::to_string(config.max_instances) +
                                  ", can be reserved: reserve fewer");
  }
  return {};
}

}  // namespace ebb::node
