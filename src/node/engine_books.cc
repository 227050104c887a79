// What the engine does with usage off the request path: flushes it, adds it up, lets old records go, writes what was
// held, and tells of it by webhook.
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "io/deadline.h"
#include "meter/price_list.h"
#include "meter/retention.h"
#include "node/engine.h"
#include "node/stores.h"

namespace ebb::node {

namespace {

// As it was before there were budgets in money, where there is none.
std::string limit_id(const meter::BudgetView& budget) {
  if (budget.limit_nano_money == model::Budget::kAny) return std::to_string(budget.limit_nano_cu);
  return std::to_string(budget.limit_nano_cu) + "." + std::to_string(budget.limit_nano_money);
}

std::string limit_text(std::uint64_t nano) {
  return nano == model::Budget::kAny ? std::string() : meter::decimal_text(nano, 9);
}

// The same alert has the same id after a restart, and another budget's another.
OutboxEvent event_of(const meter::BudgetAlert& alert, base::WallTime now) {
  const meter::BudgetView& budget = alert.budget;
  const std::string month = meter::to_string(budget.month);
  const boost::json::object body = {{"type", "budget.alert"},
                                    {"timestamp", base::to_rfc3339(now)},
                                    {"data",
                                     {{"app", budget.app},
                                      {"organisation", budget.organisation},
                                      {"month", month},
                                      {"percent", alert.percent},
                                      {"cu_a_month", limit_text(budget.limit_nano_cu)},
                                      {"cu_used", meter::decimal_text(budget.used_nano_cu, 9)},
                                      {"money_a_month", limit_text(budget.limit_nano_money)},
                                      {"money_used", meter::decimal_text(budget.used_nano_money, 9)},
                                      {"currency", budget.currency}}}};
  const std::string whose = budget.app.empty() ? "organisation." + budget.organisation : budget.app;
  return {.id = "budget.alert." + whose + "." + month + "." + limit_id(budget) + "." + std::to_string(alert.percent),
          .body = boost::json::serialize(body),
          .made = now};
}

void tell_of_clock(base::Duration set) {
  base::log(base::LogLevel::kWarning, "clock_set",
            {{"by_s", std::chrono::round<std::chrono::seconds>(set).count()},
             {"effect", "calls belong to the month that the clock says; no usage record goes by its age for a day"}});
}

}  // namespace

void Engine::tell_of_budgets() {
  const base::WallTime now = base::wall_now();
  for (const meter::BudgetAlert& alert : services_.budgets.tick(now)) {
    const meter::BudgetView& budget = alert.budget;
    base::log(alert.percent < 100 ? base::LogLevel::kWarning : base::LogLevel::kError, "budget_alert",
              {{budget.app.empty() ? "organisation" : "app", budget.app.empty() ? budget.organisation : budget.app},
               {"percent", alert.percent}});
    const bool of_app = !budget.app.empty();
    receivers_.put(event_of(alert, now), of_app ? organisation_of(budget.app) : budget.organisation);
  }
}

io::Task<base::Result<std::vector<model::Webhook>>> Engine::webhooks() {
  std::function<base::Result<std::vector<model::Webhook>>()> list = [this] { return receivers_.list(); };
  co_return co_await io::offload(services_.pool, "list webhooks", std::move(list));
}

io::Task<base::Result<std::string>> Engine::set_webhook(model::Webhook webhook, bool fresh_secret) {
  std::function<base::Result<std::string>()> set = [this, webhook, fresh_secret] {
    return receivers_.set(webhook, fresh_secret);
  };
  co_return co_await io::offload(services_.pool, "set a webhook", std::move(set));
}

io::Task<base::Result<>> Engine::remove_webhook(std::string organisation) {
  std::function<base::Result<>()> remove = [this, organisation] { return receivers_.remove(organisation); };
  co_return co_await io::offload(services_.pool, "remove a webhook", std::move(remove));
}

io::Task<> Engine::flush_usage_forever(Engine& engine) {
  meter::UsageLog& usage = engine.services_.usage;
  meter::Retention retention(engine.services_.config.usage_retention_days, base::steady_now(), base::wall_now());
  for (;;) {
    co_await io::sleep_for(engine.services_.config.usage_flush_interval);
    meter::Ledger& ledger = *engine.stores_.ledger;
    const base::SteadyTime now = base::steady_now();
    const base::WallTime wall = base::wall_now();
    const base::Duration set = retention.see(now, wall);
    if (set != base::Duration::zero()) tell_of_clock(set);
    const std::optional<base::WallTime> before = retention.before(now, wall);
    std::function<base::Result<>()> flush = [&engine, &usage, &ledger, before]() -> base::Result<> {
      const auto prepared = usage.prepare();
      const auto noted = engine.note_held(engine.services_.config.usage_held_interval);
      EBB_CHECKED(usage.flush());
      EBB_TRY(const std::size_t rolled, ledger.roll(usage));
      if (rolled > 0 && before) EBB_CHECKED(ledger.retire(usage, *before));
      return prepared ? noted : prepared;
    };
    const auto flushed = co_await io::offload(engine.services_.pool, "flush usage", std::move(flush));
    if (!flushed) base::log(base::LogLevel::kError, "usage_flush_failed", {{"error", flushed.error().message}});
  }
}

base::Result<> Engine::note_held(base::Duration interval) {
  base::Result<> result = sandboxes_.note_held(base::steady_now(), interval);
  for (const auto& runner : all_runners()) {
    auto noted = runner->note_held(base::steady_now(), interval);
    if (!noted && result) result = std::move(noted);
  }
  return result;
}

}  // namespace ebb::node
