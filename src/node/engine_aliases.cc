// Aliases: set, listed, removed, and what is kept of the versions that they stand for.
#include <algorithm>

#include "base/co_checked.h"
#include "node/engine.h"

namespace ebb::node {

bool Engine::is_aliased(const Name& name, std::uint32_t number) const {
  const auto at = aliases_.find(name);
  if (at == aliases_.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(),
                     [number](const auto& entry) { return entry.second.stands_for(number); });
}

bool Engine::answers(const Runner& runner) const {
  const Name name{runner->version().app, runner->version().function};
  const auto current = current_.find(name);
  if (current != current_.end() && current->second == runner) return true;
  const auto old = by_number_.find({name, runner->version().number});
  return old != by_number_.end() && old->second == runner;
}

VersionRunner::Standing Engine::standing_of(const Name& name, std::uint32_t number) const {
  return is_aliased(name, number) ? VersionRunner::Standing::kAliased : VersionRunner::Standing::kOld;
}

void Engine::settle(const Name& name) {
  base::MutexLock lock(mutex_);
  for (auto at = by_number_.lower_bound({name, 0}); at != by_number_.end() && at->first.first == name; ++at)
    at->second->stand_as(standing_of(name, at->first.second));
}

io::Task<> Engine::load_aliased(Engine& engine) {
  std::vector<std::pair<Name, std::uint32_t>> wanted;
  {
    base::MutexLock lock(engine.mutex_);
    for (const auto& [name, aliases] : engine.aliases_) {
      const auto current = engine.current_.find(name);
      if (current == engine.current_.end()) continue;
      for (const auto& [word, alias] : aliases) {
        for (const std::uint32_t number : {alias.version, alias.weight.version}) {
          const bool missing =
              number != 0 && number != current->second->version().number && !engine.by_number_.contains({name, number});
          if (missing) wanted.emplace_back(name, number);
        }
      }
    }
  }
  for (auto& [name, number] : wanted) {
    const auto runner = co_await engine.runner_of_number(std::move(name), number);
    if (runner) (*runner)->prewarm();  // else its first call says why
  }
}

io::Task<base::Result<std::vector<model::Alias>>> Engine::aliases(std::string app, std::string function) {
  std::vector<model::Alias> found;
  base::MutexLock lock(mutex_);
  const auto asked = [&](const Name& name) {
    return (app.empty() || name.first == app) && (function.empty() || name.second == function);
  };
  const bool known =
      std::any_of(current_.begin(), current_.end(), [&](const auto& entry) { return asked(entry.first); });
  if (!known && !app.empty()) {
    co_return base::not_found("there is no " + (function.empty() ? "app " + app : "function " + app + "/" + function) +
                              ", `ebb ls` shows what is deployed");
  }
  for (const auto& [name, aliases] : aliases_) {
    if (!asked(name)) continue;
    for (const auto& [word, alias] : aliases) found.push_back(alias);
  }
  co_return found;
}

io::Task<base::Result<model::Alias>> Engine::set_alias(model::Alias alias) {
  EBB_CO_CHECKED(model::check_alias(alias));
  const Name name{alias.app, alias.function};
  {
    base::MutexLock lock(mutex_);
    if (!current_.contains(name)) {
      co_return base::not_found("there is no function " + alias.app + "/" + alias.function +
                                ", `ebb ls` shows what is deployed");
    }
  }
  std::vector<Runner> proven;
  for (const std::uint32_t number : {alias.version, alias.weight.version}) {
    if (number == 0) continue;
    Name asked = name;
    const auto runner = co_await proven_runner(std::move(asked), number);
    if (!runner) co_return runner.error();
    proven.push_back(*runner);
  }
  std::function<base::Result<model::Alias>()> change = [this, name, alias, proven]() -> base::Result<model::Alias> {
    base::MutexLock naming(naming_);
    {
      base::MutexLock lock(mutex_);
      // A secret may have another value, with which they were not tried.
      if (!std::all_of(proven.begin(), proven.end(),
                       [this](const Runner& one) EBB_REQUIRES(mutex_) { return answers(one); })) {
        return base::Error{.code = base::Code::kConflict,
                           .message = name.first + "/" + name.second +
                                      " was changed at the same time, the alias was not set: try again"};
      }
    }
    EBB_TRY(model::Alias set, services_.metadata.set_alias(alias));
    {
      base::MutexLock lock(mutex_);
      aliases_[name].insert_or_assign(set.name, set);
    }
    settle(name);
    return set;
  };
  co_return co_await io::offload(services_.pool, "set an alias", std::move(change));
}

io::Task<base::Result<>> Engine::remove_alias(std::string app, std::string function, std::string name) {
  std::function<base::Result<>()> change = [this, app, function, name]() -> base::Result<> {
    base::MutexLock naming(naming_);
    EBB_CHECKED(services_.metadata.remove_alias(app, function, name));
    const Name of{app, function};
    {
      base::MutexLock lock(mutex_);
      const auto at = aliases_.find(of);
      if (at != aliases_.end()) at->second.erase(name);
      if (at != aliases_.end() && at->second.empty()) aliases_.erase(at);
    }
    settle(of);
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove an alias", std::move(change));
}

}  // namespace ebb::node
