// MemoryNode: a node that runs nothing, for tests of what stands in front of one. It keeps what it was asked and
// answers what the test told it to. Used by the gateway's and the command line's tests only.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "io/deadline.h"
#include "meter/bill.h"
#include "node/node.h"

namespace ebb::gateway {

class MemoryNode final : public node::Node {
 public:
  // What the test sets before the server runs, or under `mutex` after.
  mutable std::mutex mutex;
  std::function<node::Reply(const node::Call&)> on_invoke = [](const node::Call& call) {
    node::Reply reply{.version_number = 1};
    reply.headers.add("Content-Type", call.content_type.empty() ? "application/octet-stream" : call.content_type);
    reply.body = call.body;
    return reply;
  };
  base::Result<std::uint64_t> deploy_answer = std::uint64_t{1};
  std::vector<node::DeploymentStatus> deployment_steps;  // one per look, the last one stays
  base::Result<node::Deployed> functions_answer = node::Deployed{};
  base::Result<std::uint64_t> remove_answer = std::uint64_t{0};
  std::vector<node::LogPage> log_pages;  // one per look; then empty pages
  node::UsagePage usage_answer;
  bool is_ready = true;

  // What it was asked.
  std::vector<node::Call> calls;
  std::vector<std::string> archives;
  std::vector<std::string> removed;
  std::vector<std::string> only_apps;
  std::vector<std::string> organisations_asked;  // one per deployment
  std::map<std::string, std::string> owners;     // app -> organisation
  std::vector<std::string> made_organisations{"default"};
  std::vector<model::AccessKey> keys;
  std::vector<node::LogQuery> log_queries;
  std::vector<node::UsageQuery> usage_queries;

  io::Task<node::Reply> invoke(node::Call call) override {
    const base::Result<> whole = co_await read_body(call);
    if (!whole) co_return node::Reply{.error = whole.error()};
    std::lock_guard lock(mutex);
    node::Reply reply = on_invoke(call);
    calls.push_back(std::move(call));
    co_return reply;
  }

  // Kept ones, in the order of their acceptance; nothing is delivered.
  std::vector<node::AsyncCallView> kept;
  std::vector<std::string> events;  // one for each
  std::vector<base::InvocationId> retried;
  base::Result<node::AcceptedCall> accept_answer = node::AcceptedCall{};
  io::Task<base::Result<node::AcceptedCall>> accept(node::Call call) override {
    const base::Result<> whole = co_await read_body(call);
    if (!whole) co_return whole.error();
    std::lock_guard lock(mutex);
    if (accept_answer) {
      node::AsyncCallView view;
      view.call.id = call.id;
      view.call.app = call.app;
      view.call.function = call.function;
      view.waits_because = accept_answer->waits_because;
      kept.push_back(std::move(view));
      events.push_back(call.body);
    }
    calls.push_back(std::move(call));
    co_return accept_answer;
  }
  io::Task<base::Result<std::vector<node::AsyncCallView>>> async_calls(node::AsyncCallQuery query) override {
    std::lock_guard lock(mutex);
    std::vector<node::AsyncCallView> views;
    for (const node::AsyncCallView& view : kept) {
      const auto owner = owners.find(view.call.app);
      const bool its = query.organisation.empty() || (owner != owners.end() && owner->second == query.organisation);
      if (its && (query.app.empty() || query.app == view.call.app) && (!query.state || *query.state == view.state))
        views.push_back(view);
    }
    co_return views;
  }
  io::Task<base::Result<node::AsyncCallView>> async_call(base::InvocationId id) override {
    std::lock_guard lock(mutex);
    for (const node::AsyncCallView& view : kept) {
      if (view.call.id == id) co_return view;
    }
    co_return store::no_such_call(id);
  }
  io::Task<base::Result<std::string>> async_event(base::InvocationId id) override {
    std::lock_guard lock(mutex);
    for (std::size_t at = 0; at < kept.size(); ++at) {
      if (kept[at].call.id == id) co_return events[at];
    }
    co_return store::no_such_call(id);
  }
  io::Task<base::Result<>> retry_async_call(base::InvocationId id) override {
    std::lock_guard lock(mutex);
    retried.push_back(id);
    co_return base::Result<>();
  }
  io::Task<base::Result<>> remove_async_call(base::InvocationId id) override {
    std::lock_guard lock(mutex);
    for (std::size_t at = 0; at < kept.size(); ++at) {
      if (kept[at].call.id != id) continue;
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(at));
      events.erase(events.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    }
    co_return base::Result<>();
  }

  io::Task<base::Result<std::uint64_t>> deploy(std::string archive, node::DeploymentOptions options) override {
    std::lock_guard lock(mutex);
    only_apps.push_back(std::move(options.only_app));
    organisations_asked.push_back(std::move(options.organisation));
    archives.push_back(std::move(archive));
    co_return deploy_answer;
  }

  io::Task<base::Result<node::DeploymentStatus>> deployment(std::uint64_t id, std::uint64_t sequence,
                                                            base::Duration wait) override {
    if (wait > base::Duration::zero()) co_await io::sleep_for(std::chrono::milliseconds(1));
    std::lock_guard lock(mutex);
    if (deployment_steps.empty()) co_return base::not_found("no deployment " + std::to_string(id));
    node::DeploymentStatus status = deployment_steps.front();
    if (deployment_steps.size() > 1) deployment_steps.erase(deployment_steps.begin());
    std::erase_if(status.events, [sequence](const auto& event) { return event.sequence <= sequence; });
    co_return status;
  }

  io::Task<base::Result<node::Deployed>> functions(std::string app) override {
    std::lock_guard lock(mutex);
    auto answer = functions_answer;
    if (answer && !app.empty()) {
      std::erase_if(answer->functions, [&app](const auto& view) { return view.version.app != app; });
      std::erase_if(answer->apps, [&app](const auto& view) { return view.name != app; });
    }
    co_return answer;
  }

  io::Task<base::Result<std::uint64_t>> remove(std::string app, std::string function) override {
    std::lock_guard lock(mutex);
    removed.push_back(function.empty() ? app : app + "/" + function);
    co_return remove_answer;
  }

  io::Task<base::Result<node::LogPage>> logs(node::LogQuery query) override {
    std::lock_guard lock(mutex);
    node::LogPage page{.lines = {}, .cursor = query.cursor};
    if (!log_pages.empty()) {
      page = log_pages.front();
      log_pages.erase(log_pages.begin());
    }
    log_queries.push_back(std::move(query));
    co_return page;
  }

  io::Task<base::Result<node::UsagePage>> usage(node::UsageQuery query) override {
    std::lock_guard lock(mutex);
    usage_queries.push_back(std::move(query));
    co_return usage_answer;
  }

  meter::Prices prices;
  std::vector<node::BillQuery> bill_queries;
  io::Task<base::Result<node::UsageExportPage>> usage_page(node::ExportQuery query) override {
    std::lock_guard lock(mutex);
    node::UsageExportPage page;
    if (query.segment == 0) {
      for (const model::UsageRecord& record : records_of(query.app, query.month)) page.records.push_back(record);
      page.next = 1;
    }
    co_return page;
  }
  io::Task<base::Result<std::shared_ptr<const meter::Bill>>> bill(node::BillQuery query) override {
    std::lock_guard lock(mutex);
    meter::UsageSum sum;
    for (const model::UsageRecord& record : records_of(query.app, query.month)) (void)sum.add(record);
    const auto bill = meter::bill_for(query.month, query.by, prices, sum);
    bill_queries.push_back(std::move(query));
    if (!bill) co_return bill.error();
    co_return std::make_shared<const meter::Bill>(*bill);
  }
  io::Task<base::Result<node::BillExplanation>> explain_bill(std::string app, std::string function,
                                                             std::optional<base::InvocationId> request) override {
    std::lock_guard lock(mutex);
    for (const model::UsageRecord& record : usage_answer.records) {
      if (record.app != app || record.function != function || (request && *request != record.invocation)) continue;
      const meter::Month month = meter::month_of(record.arrival);
      meter::UsageSum sum;
      for (const model::UsageRecord& other : records_of(app, month)) (void)sum.add(other);
      const auto bill = meter::bill_for(month, meter::BillBy::kFunction, prices, sum);
      co_return node::BillExplanation{.record = record, .bill = std::make_shared<const meter::Bill>(*bill)};
    }
    co_return base::not_found("no such invocation");
  }

  node::LedgerReport ledger_report;
  std::vector<bool> ledger_checks;  // whether each was asked to rebuild
  io::Task<base::Result<node::LedgerReport>> check_ledger(bool rebuild) override {
    std::lock_guard lock(mutex);
    ledger_checks.push_back(rebuild);
    co_return ledger_report;
  }

  io::Task<base::Result<model::Version>> make_sized_version(std::string app, std::string function,
                                                            node::Size size) override {
    model::Version version{.app = std::move(app), .function = function, .number = 2};
    version.spec.name = std::move(function);
    if (size.memory) version.spec.memory = *size.memory;
    if (size.cpu_millis) version.spec.cpu_millis = *size.cpu_millis;
    co_return version;
  }
  io::Task<base::Result<>> remove_version(std::string, std::string, std::uint32_t number) override {
    if (number != 2) co_return base::not_found("no such version");
    co_return base::Result<>();
  }
  std::vector<node::VersionView> versions_answer;
  io::Task<base::Result<std::vector<node::VersionView>>> versions(std::string, std::string) override {
    std::lock_guard lock(mutex);
    co_return versions_answer;
  }
  std::vector<std::uint32_t> rolled_back;  // to which
  io::Task<base::Result<model::Version>> roll_back(std::string app, std::string function,
                                                   std::uint32_t number) override {
    std::lock_guard lock(mutex);
    rolled_back.push_back(number);
    co_return model::Version{.app = std::move(app), .function = std::move(function), .number = number};
  }
  std::vector<model::Alias> aliases_set;
  io::Task<base::Result<std::vector<model::Alias>>> aliases(std::string app, std::string) override {
    std::lock_guard lock(mutex);
    auto found = aliases_set;
    std::erase_if(found, [&](const auto& alias) { return !app.empty() && alias.app != app; });
    co_return found;
  }
  io::Task<base::Result<model::Alias>> set_alias(model::Alias alias) override {
    std::lock_guard lock(mutex);
    if (const auto checked = model::check_alias(alias); !checked) co_return checked.error();
    aliases_set.push_back(alias);
    co_return alias;
  }
  io::Task<base::Result<>> remove_alias(std::string, std::string, std::string name) override {
    std::lock_guard lock(mutex);
    if (std::erase_if(aliases_set, [&](const auto& alias) { return alias.name == name; }) == 0)
      co_return base::not_found("no such alias");
    co_return base::Result<>();
  }
  std::map<std::string, std::uint64_t> budgets_set;  // nano-CU
  io::Task<base::Result<std::vector<meter::BudgetView>>> budgets() override {
    std::lock_guard lock(mutex);
    std::vector<meter::BudgetView> views;
    for (const auto& [app, nano_cu] : budgets_set)
      views.push_back({.app = app, .month = {2026, 11}, .limit_nano_cu = nano_cu, .used_nano_cu = 1});
    co_return views;
  }
  io::Task<base::Result<>> set_budget(model::Budget budget) override {
    std::lock_guard lock(mutex);
    budgets_set[budget.app] = budget.nano_cu;
    co_return base::Result<>();
  }
  io::Task<base::Result<std::vector<node::Quotas::View>>> quotas() override { co_return quotas_set.views(); }
  io::Task<base::Result<>> set_quota(model::Quota quota) override {
    quotas_set.set(quota);
    co_return base::Result<>();
  }
  io::Task<base::Result<>> remove_quota(model::Holder holder) override {
    quotas_set.set({.app = holder.app, .organisation = holder.organisation});
    co_return base::Result<>();
  }
  node::Quotas quotas_set;
  io::Task<base::Result<>> remove_budget(model::Holder holder) override {
    std::lock_guard lock(mutex);
    if (budgets_set.erase(holder.app) == 0) co_return base::not_found("no such budget");
    co_return base::Result<>();
  }

  std::map<std::string, std::string> secret_values;  // "app/name" -> value
  std::uint64_t secret_deployment = 0;
  io::Task<base::Result<std::uint64_t>> set_secret(std::string app, std::string name, std::string value) override {
    std::lock_guard lock(mutex);
    secret_values[app + "/" + name] = std::move(value);
    co_return secret_deployment;
  }
  io::Task<base::Result<std::vector<node::SecretView>>> secrets(std::string app) override {
    std::lock_guard lock(mutex);
    std::vector<node::SecretView> views;
    for (const auto& [key, value] : secret_values) {
      if (key.starts_with(app + "/"))
        views.push_back({.name = key.substr(app.size() + 1), .version = 1, .functions = {"f"}});
    }
    co_return views;
  }
  io::Task<base::Result<>> remove_secret(std::string app, std::string name) override {
    std::lock_guard lock(mutex);
    if (secret_values.erase(app + "/" + name) == 0) co_return base::not_found("no such secret");
    co_return base::Result<>();
  }
  io::Task<base::Result<std::vector<model::Organisation>>> organisations() override {
    std::lock_guard lock(mutex);
    std::vector<model::Organisation> views;
    for (const std::string& name : made_organisations) {
      model::Organisation& view = views.emplace_back();
      view.name = name;
      for (const auto& [app, owner] : owners) {
        if (owner == name) view.apps.push_back(app);
      }
    }
    co_return views;
  }
  io::Task<base::Result<>> add_organisation(std::string name) override {
    std::lock_guard lock(mutex);
    made_organisations.push_back(std::move(name));
    co_return base::Result<>();
  }
  io::Task<base::Result<>> remove_organisation(std::string name) override {
    std::lock_guard lock(mutex);
    if (std::erase(made_organisations, name) == 0) co_return base::not_found("no such organisation");
    co_return base::Result<>();
  }
  std::vector<model::Webhook> made_webhooks;
  io::Task<base::Result<std::vector<model::Webhook>>> webhooks() override {
    std::lock_guard lock(mutex);
    co_return made_webhooks;
  }
  io::Task<base::Result<std::string>> set_webhook(model::Webhook webhook, bool fresh_secret) override {
    std::lock_guard lock(mutex);
    const auto of_it = [&](const auto& one) { return one.organisation == webhook.organisation; };
    const bool fresh = std::erase_if(made_webhooks, of_it) == 0 || fresh_secret;
    made_webhooks.push_back(std::move(webhook));
    co_return std::string(fresh ? "whsec_made" : "");
  }
  io::Task<base::Result<>> remove_webhook(std::string organisation) override {
    std::lock_guard lock(mutex);
    const auto of_it = [&](const auto& one) { return one.organisation == organisation; };
    if (std::erase_if(made_webhooks, of_it) == 0) co_return base::not_found("no such webhook");
    co_return base::Result<>();
  }
  io::Task<base::Result<>> claim_app(std::string app, std::string organisation) override {
    std::lock_guard lock(mutex);
    std::string& owner = owners[app];
    if (owner.empty()) owner = organisation.empty() ? "default" : organisation;
    if (!organisation.empty() && owner != organisation)
      co_return base::Error{.code = base::Code::kConflict, .message = "the name is taken"};
    co_return base::Result<>();
  }
  io::Task<base::Result<>> move_app(std::string app, std::string organisation) override {
    std::lock_guard lock(mutex);
    owners[app] = organisation;
    co_return base::Result<>();
  }
  std::string organisation_of(const std::string& app) const override {
    std::lock_guard lock(mutex);
    const auto at = owners.find(app);
    return at == owners.end() ? std::string() : at->second;
  }
  base::Result<std::vector<model::AccessKey>> stored_keys() override { return keys; }
  io::Task<base::Result<>> add_key(model::AccessKey key) override {
    std::lock_guard lock(mutex);
    keys.push_back(std::move(key));
    co_return base::Result<>();
  }
  io::Task<base::Result<>> remove_key(std::string id) override {
    std::lock_guard lock(mutex);
    if (std::erase_if(keys, [&id](const auto& key) { return key.id == id; }) == 0) co_return base::not_found("no key");
    co_return base::Result<>();
  }
  io::Task<std::string> metrics_text() override {
    co_return "# HELP ebb_up 1 while the daemon serves.\n# TYPE ebb_up gauge\nebb_up 1\n";
  }
  bool ready() const override { return is_ready; }
  io::Task<> drain(base::Duration) override { co_return; }

 private:
  static io::Task<base::Result<>> read_body(node::Call& call) {
    const auto unread = std::exchange(call.request.unread, nullptr);
    if (!unread) co_return base::Result<>();
    http::BodyRoom unbounded;
    auto body = co_await unread->read_all(std::move(unbounded));
    if (!body) co_return body.error();
    call.body = *std::move(body);
    co_return base::Result<>();
  }
  std::vector<model::UsageRecord> records_of(const std::string& app, meter::Month month) const {
    std::vector<model::UsageRecord> found;
    for (const model::UsageRecord& record : usage_answer.records) {
      if ((app.empty() || app == record.app) && meter::month_of(record.arrival) == month) found.push_back(record);
    }
    return found;
  }
};

}  // namespace ebb::gateway
