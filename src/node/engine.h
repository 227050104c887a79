// The Node on this machine: owns the services, the runners of all versions, and their life from start to drain.
//
// 1. `current_` says which version answers a function's plain name, `aliases_` which answer its others; older ones get
// a runner when they are asked for by number.
// 2. A replaced runner is one asked for by number from then on. One that is no longer used nor stood for by an alias,
// or removed, is closed: its calls finish, then the launcher forgets it.
// 3. What names stand for changes on disk and then in memory, one change at a time; calls see the memory only.
// Called through node.h.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "node/async_calls.h"
#include "node/deployments.h"
#include "node/egress.h"
#include "node/memory_pressure.h"
#include "node/node.h"
#include "node/receivers.h"
#include "node/sandbox_pool.h"
#include "node/services.h"
#include "node/stores.h"
#include "node/timers.h"
#include "node/version_runner.h"
#include "store/metadata.h"

namespace ebb::node {

class Engine final : public Node, private Publisher {
 public:
  Engine(io::Cores& cores, const model::Config& config, Stores stores, InvokeAttempt invoke_attempt);
  ~Engine() override;

  /// Connects to the launcher and begins to rebuild what the metadata says.
  base::Result<> begin(os::Fd launcher_socket);

  io::Task<Reply> invoke(Call call) override;
  io::Task<base::Result<AcceptedCall>> accept(Call call) override;
  io::Task<base::Result<std::vector<AsyncCallView>>> async_calls(AsyncCallQuery query) override;
  io::Task<base::Result<AsyncCallView>> async_call(base::InvocationId id) override;
  io::Task<base::Result<std::string>> async_event(base::InvocationId id) override;
  io::Task<base::Result<>> retry_async_call(base::InvocationId id) override;
  io::Task<base::Result<>> remove_async_call(base::InvocationId id) override;
  io::Task<base::Result<std::uint64_t>> deploy(std::string archive, DeploymentOptions options) override;
  io::Task<base::Result<DeploymentStatus>> deployment(std::uint64_t id, std::uint64_t sequence,
                                                      base::Duration wait) override;
  io::Task<base::Result<Deployed>> functions(std::string app) override;
  io::Task<base::Result<std::uint64_t>> remove(std::string app, std::string function) override;
  io::Task<base::Result<model::Version>> make_sized_version(std::string app, std::string function, Size size) override;
  io::Task<base::Result<>> remove_version(std::string app, std::string function, std::uint32_t number) override;
  io::Task<base::Result<std::vector<VersionView>>> versions(std::string app, std::string function) override;
  io::Task<base::Result<model::Version>> roll_back(std::string app, std::string function,
                                                   std::uint32_t number) override;
  io::Task<base::Result<std::vector<model::Alias>>> aliases(std::string app, std::string function) override;
  io::Task<base::Result<model::Alias>> set_alias(model::Alias alias) override;
  io::Task<base::Result<>> remove_alias(std::string app, std::string function, std::string name) override;
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

  using Runner = std::shared_ptr<VersionRunner>;
  using AliasesOfOne = std::map<std::string, model::Alias, std::less<>>;  // by name

  base::Result<> publish(const std::string& app, const std::vector<store::PublishedVersion>& versions,
                         const std::vector<Runner>& runners, const std::optional<model::AppScale>& scale,
                         const SecretChange* change) override;
  /// What the app as a whole may have and has reserved, in effect from now on.
  void scale_app(const std::string& app, const model::AppScale& scale);
  /// Makes it the one that answers the function's name; `replaced` is the one that did.
  void switch_to(const Runner& runner, std::vector<Runner>& replaced) EBB_REQUIRES(mutex_);
  /// Forgets the functions that `gone` says, and their aliases; gives their runners, to be closed.
  std::vector<Runner> forget(const std::function<bool(const Name&)>& gone) EBB_REQUIRES(mutex_);
  /// Forgets a version; gives its runner, to be closed, if it has one.
  Runner forget_version(const Name& name, std::uint32_t number) EBB_EXCLUDES(mutex_);
  base::Result<Runner> made_runner(const model::Version& version);
  /// A secret of the app has another value now: what still runs by its number with the one before ends.
  void secret_changed(const std::string& app, const std::string& secret) EBB_REQUIRES(naming_);
  /// The runner of the version that is called, its number in the call; nothing when it has none now. Errors: kNotFound.
  base::Result<Runner> known_runner(Call& call);
  io::Task<base::Result<Runner>> runner_of_number(Name name, std::uint32_t number);
  /// Of a version that is tried first, if it does not run: what a name is to stand for starts. Errors: kNotFound; why
  /// it does not start.
  io::Task<base::Result<Runner>> proven_runner(Name name, std::uint32_t number);
  /// The alias's versions get the standing that they have now.
  void settle(const Name& name) EBB_EXCLUDES(mutex_);
  bool is_aliased(const Name& name, std::uint32_t number) const EBB_REQUIRES(mutex_);
  /// Whether it still is the one that answers its number.
  bool answers(const Runner& runner) const EBB_REQUIRES(mutex_);
  VersionRunner::Standing standing_of(const Name& name, std::uint32_t number) const EBB_REQUIRES(mutex_);
  /// What aliases stand for is loaded as the current versions are.
  static io::Task<> load_aliased(Engine& engine);
  void exited(const wire::Exited& event);
  void launcher_lost();
  std::vector<std::shared_ptr<VersionRunner>> all_runners();
  /// Those whose tick is due.
  std::vector<std::shared_ptr<VersionRunner>> runners_due(base::SteadyTime now);
  /// Of an alias with a weight: one of its two.
  io::Task<base::Result<model::Version>> called_version(Call& call);
  AsyncCalls::Room async_room(const sched::AsyncCall& call);
  base::Result<> check_aliases_do_without(const std::string& app, const std::string& secret) EBB_REQUIRES(naming_);
  base::Result<> check_aliased_were_tried(const SecretChange& change) EBB_REQUIRES(naming_);
  base::Result<> check_secrets_stand(const VersionRunner& tried, const SecretChange* change) EBB_REQUIRES(naming_);
  base::Result<bool> is_used(const std::string& app, const std::string& secret) EBB_REQUIRES(naming_);
  std::vector<std::string> users_of(const std::string& app, const std::string& secret);
  static io::Task<> tick_forever(Engine& engine);
  /// Tells the current versions when their timers call them next.
  void expect_timers(base::WallTime wall, base::SteadyTime now);
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
  base::Mutex naming_;  // held while what names stand for changes, over the disk. Taken before mutex_, never by a call
  AsyncCalls async_calls_;
  Timers timers_;
  base::Mutex mutex_;
  std::map<Name, Runner> current_ EBB_GUARDED_BY(mutex_);
  std::map<std::pair<Name, std::uint32_t>, Runner> by_number_
      EBB_GUARDED_BY(mutex_);  // not current, asked for by number
  std::map<Name, AliasesOfOne> aliases_ EBB_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> secret_changes_ = 0;  // how often a secret got another value, or went
  std::atomic<bool> ready_ = false;
  std::atomic<bool> draining_ = false;
  std::atomic<std::uint32_t> running_ = 0;  // invocations under way
};

}  // namespace ebb::node
