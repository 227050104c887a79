// The Node on this machine: owns the services, the runners of all versions, and their life from start to drain.
//
// 1. `current_` says which version answers a function's plain name; older ones get a runner when they are asked for by
// number.
// 2. A replaced runner is one asked for by number from then on. One that is no longer used, or removed, is closed: its
// calls finish, then the launcher forgets it.
// Called through node.h.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "node/deployments.h"
#include "node/egress.h"
#include "node/memory_pressure.h"
#include "node/node.h"
#include "node/receivers.h"
#include "node/sandbox_pool.h"
#include "node/services.h"
#include "node/stores.h"
#include "node/version_runner.h"
#include "store/metadata.h"

namespace ebb::node {

class Engine final : public Node, private Publisher {
 public:
  Engine(io::Cores& cores, const model::Config& config, Stores stores);
  ~Engine() override;

  /// Connects to the launcher and begins to rebuild what the metadata says.
  base::Result<> begin(os::Fd launcher_socket);

  io::Task<Reply> invoke(Call call) override;
  io::Task<base::Result<std::uint64_t>> deploy(std::string archive, DeploymentOptions options) override;
  io::Task<base::Result<DeploymentStatus>> deployment(std::uint64_t id, std::uint64_t sequence,
                                                      base::Duration wait) override;
  io::Task<base::Result<std::vector<FunctionView>>> functions(std::string app) override;
  io::Task<base::Result<>> remove(std::string app, std::string function) override;
  io::Task<base::Result<model::Version>> make_sized_version(std::string app, std::string function, Size size) override;
  io::Task<base::Result<>> remove_version(std::string app, std::string function, std::uint32_t number) override;
  io::Task<base::Result<LogPage>> logs(LogQuery query) override;
  io::Task<base::Result<UsagePage>> usage(UsageQuery query) override;
  io::Task<base::Result<UsageExportPage>> usage_page(ExportQuery query) override;
  io::Task<base::Result<std::shared_ptr<const meter::Bill>>> bill(BillQuery query) override;
  io::Task<base::Result<LedgerReport>> check_ledger(bool rebuild) override;
  io::Task<base::Result<std::vector<meter::BudgetView>>> budgets() override;
  io::Task<base::Result<>> set_budget(model::Budget budget) override;
  io::Task<base::Result<>> remove_budget(model::Holder holder) override;
  io::Task<base::Result<std::vector<Quotas::View>>> quotas() override;
  io::Task<base::Result<>> set_quota(model::Quota quota) override;
  io::Task<base::Result<>> remove_quota(model::Holder holder) override;
  io::Task<base::Result<BillExplanation>> explain_bill(std::string app, std::string function,
                                                       std::optional<base::InvocationId> request) override;
  io::Task<base::Result<std::uint64_t>> set_secret(std::string app, std::string name, std::string value) override;
  io::Task<base::Result<std::vector<SecretView>>> secrets(std::string app) override;
  io::Task<base::Result<>> remove_secret(std::string app, std::string name) override;
  io::Task<base::Result<std::vector<model::Organisation>>> organisations() override;
  io::Task<base::Result<>> add_organisation(std::string name) override;
  io::Task<base::Result<>> remove_organisation(std::string name) override;
  io::Task<base::Result<std::vector<model::Webhook>>> webhooks() override;
  io::Task<base::Result<std::string>> set_webhook(model::Webhook webhook, bool fresh_secret) override;
  io::Task<base::Result<>> remove_webhook(std::string organisation) override;
  io::Task<base::Result<>> claim_app(std::string app, std::string organisation) override;
  io::Task<base::Result<>> move_app(std::string app, std::string organisation) override;
  std::string organisation_of(const std::string& app) const override { return services_.organisations.of(app); }
  base::Result<std::vector<model::AccessKey>> stored_keys() override { return services_.metadata.keys(); }
  io::Task<base::Result<>> add_key(model::AccessKey key) override;
  io::Task<base::Result<>> remove_key(std::string id) override;
  io::Task<std::string> metrics_text() override;
  bool ready() const override { return ready_; }
  io::Task<> drain(base::Duration deadline) override;

 private:
  using Name = std::pair<std::string, std::string>;  // app, function

  void published(const std::string& app, std::set<std::string> functions,
                 std::vector<std::shared_ptr<VersionRunner>> runners) override;
  void secret_changed(const std::string& app, const std::string& secret) override;
  /// The runner of the version that is called; nothing when it has none now. Errors: kNotFound.
  base::Result<std::shared_ptr<VersionRunner>> known_runner(const Call& call);
  io::Task<base::Result<std::shared_ptr<VersionRunner>>> runner_of_number(Name name, std::uint32_t number);
  void exited(const wire::Exited& event);
  void launcher_lost();
  std::vector<std::shared_ptr<VersionRunner>> all_runners();
  std::vector<std::string> users_of(const std::string& app, const std::string& secret);
  static io::Task<> tick_forever(Engine& engine);
  static io::Task<> flush_usage_forever(Engine& engine);
  /// The records of what versions held that are due. Errors: the first one's.
  base::Result<> note_held(base::Duration interval);
  io::Task<bool> read_app_cpu(std::string app);
  void tell_of_budgets();
  AppSet apps_of(const std::string& organisation) const;
  void close_unused(base::SteadyTime now);

  Stores stores_;
  meter::Metrics metrics_;
  io::Pool pool_;
  Services services_;
  SandboxPool sandboxes_;
  Egress egress_;
  MemoryPressure pressure_;
  Deployments deployments_;
  Receivers receivers_{services_.config, services_.metadata, services_.secrets, services_.usage,
                       services_.organisations};
  base::Mutex mutex_;
  std::map<Name, std::shared_ptr<VersionRunner>> current_ EBB_GUARDED_BY(mutex_);
  std::map<std::pair<Name, std::uint32_t>, std::shared_ptr<VersionRunner>> by_number_
      EBB_GUARDED_BY(mutex_);                      // not current, asked for by number
  std::atomic<std::uint64_t> secret_changes_ = 0;  // how often a secret got another value, or went
  std::atomic<bool> ready_ = false;
  std::atomic<bool> draining_ = false;
  std::atomic<std::uint32_t> running_ = 0;  // invocations under way
};

}  // namespace ebb::node
