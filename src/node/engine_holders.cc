// Who has what on this node: organisations and their apps, access keys, budgets and quotas.
#include "node/engine.h"

namespace ebb::node {

io::Task<base::Result<std::vector<meter::BudgetView>>> Engine::budgets() { co_return services_.budgets.views(); }

io::Task<base::Result<>> Engine::set_budget(model::Budget budget) {
  if (budget.nano_money != model::Budget::kAny && !services_.budgets.has_prices()) {
    co_return base::invalid_argument("a budget in money needs prices: name a price_file in the configuration");
  }
  std::function<base::Result<>()> set = [this, budget]() -> base::Result<> {
    EBB_CHECKED(services_.metadata.set_budget(budget));
    services_.budgets.set(budget);
    async_calls_.release();
    return {};
  };
  co_return co_await io::offload(services_.pool, "set a budget", std::move(set));
}

io::Task<base::Result<std::vector<Quotas::View>>> Engine::quotas() { co_return services_.quotas.views(); }

io::Task<base::Result<>> Engine::set_quota(model::Quota quota) {
  std::function<base::Result<>()> set = [this, quota]() -> base::Result<> {
    EBB_CHECKED(services_.metadata.set_quota(quota));
    services_.quotas.set(quota);
    async_calls_.release();
    return {};
  };
  co_return co_await io::offload(services_.pool, "set a quota", std::move(set));
}

io::Task<base::Result<>> Engine::remove_quota(model::Holder holder) {
  std::function<base::Result<>()> remove = [this, holder]() -> base::Result<> {
    EBB_CHECKED(services_.metadata.remove_quota(holder));
    services_.quotas.set({.app = holder.app, .organisation = holder.organisation});
    async_calls_.release();
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove a quota", std::move(remove));
}

io::Task<base::Result<>> Engine::remove_budget(model::Holder holder) {
  std::function<base::Result<>()> remove = [this, holder]() -> base::Result<> {
    EBB_CHECKED(services_.metadata.remove_budget(holder));
    services_.budgets.remove(holder);
    async_calls_.release();
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove a budget", std::move(remove));
}

AppSet Engine::apps_of(const std::string& organisation) const {
  if (organisation.empty()) return std::nullopt;
  return services_.organisations.apps_of(organisation);
}

io::Task<base::Result<std::vector<model::Organisation>>> Engine::organisations() {
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<std::vector<model::Organisation>>()> read = [&metadata] {
    return metadata.organisations();
  };
  co_return co_await io::offload(services_.pool, "list organisations", std::move(read));
}

io::Task<base::Result<>> Engine::add_organisation(std::string name) {
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<>()> add = [&metadata, name] { return metadata.add_organisation(name); };
  co_return co_await io::offload(services_.pool, "add an organisation", std::move(add));
}

io::Task<base::Result<>> Engine::remove_organisation(std::string name) {
  std::function<base::Result<>()> remove = [this, name]() -> base::Result<> {
    EBB_CHECKED(services_.metadata.remove_organisation(name));
    services_.quotas.set({.organisation = name});
    services_.budgets.remove({.organisation = name});
    receivers_.forget(name);
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove an organisation", std::move(remove));
}

io::Task<base::Result<>> Engine::claim_app(std::string app, std::string organisation) {
  std::function<base::Result<>()> claim = [this, app, organisation] {
    return services_.organisations.claim(app, organisation);
  };
  co_return co_await io::offload(services_.pool, "claim a name", std::move(claim));
}

io::Task<base::Result<>> Engine::move_app(std::string app, std::string organisation) {
  std::function<base::Result<>()> move = [this, app, organisation] {
    return services_.organisations.move(app, organisation);
  };
  co_return co_await io::offload(services_.pool, "move an app", std::move(move));
}

io::Task<base::Result<>> Engine::add_key(model::AccessKey key) {
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<>()> add = [&metadata, key = std::move(key)] { return metadata.add_key(key); };
  co_return co_await io::offload(services_.pool, "add key", std::move(add));
}

io::Task<base::Result<>> Engine::remove_key(std::string id) {
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<>()> remove = [&metadata, id = std::move(id)] { return metadata.remove_key(id); };
  co_return co_await io::offload(services_.pool, "remove key", std::move(remove));
}

}  // namespace ebb::node
