#include "node/engine.h"

#include <set>
#include <thread>

#include "base/limits_bill.h"
#include "base/limits_spares.h"
#include "base/log.h"
#include "io/deadline.h"
#include "model/suggestion.h"
#include "model/time_zone.h"
#include "node/billing.h"
#include "node/invocation.h"
#include "node/spare_room.h"
#include "node/start_turns.h"
#include "node/stores.h"
#include "store/package.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kTick = 100ms;
constexpr auto kOldVersionKept = 60s;  // a runner of a version that is not current, after its last call
constexpr StartTurns::Age kStartAge{.others = 100ms, .own_most = 2s};
constexpr StartTurns::Age kLoadAge{.others = 2s, .own_most = 2s};  // where processors are short, all loads take long
constexpr int kReplacedMost = 4;                                   // versions that one waiting call may see go
constexpr unsigned kPoolThreads = 4;
constexpr std::size_t kPoolQueue = 1024;

base::Error no_function(const std::string& app, const std::string& function) {
  return base::not_found("there is no function " + app + "/" + function + ", `ebb ls` shows what is deployed");
}

base::Error no_alias(const Call& call, const std::map<std::string, model::Alias, std::less<>>& known) {
  const std::string name = call.app + "/" + call.function;
  std::vector<std::string_view> names;
  for (const auto& [alias, is] : known) names.push_back(alias);
  const auto nearest = model::nearest_word(call.alias, names);
  return base::not_found(name + " has no alias '" + call.alias + "'" +
                         (nearest ? ", did you mean " + std::string(*nearest) + "?"
                                  : ": ebb alias ls " + name + " lists those it has, ebb alias set makes one"));
}

bool asks_for_key(const model::FunctionSpec& spec, const model::Config& config) {
  return spec.auth == model::Auth::kNode ? config.function_auth == model::Auth::kKey : spec.auth == model::Auth::kKey;
}

base::Error key_refusal(const Call& call) {
  const std::string name = call.app + "/" + call.function;
  if (call.key_shown == Call::KeyShown::kNotAllowed) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message = "this key may not call " + name + ", it takes role invoke for app " + call.app};
  }
  const std::string wrong = call.key_shown == Call::KeyShown::kUnknown ? "this key is not known here (revoked?), " : "";
  return base::Error{.code = base::Code::kUnauthenticated,
                     .message = wrong + name +
                                " takes calls with a key only: send Authorization: Bearer KEY or "
                                "X-Ebb-Key: KEY with a key of `ebb key create --role invoke --app " +
                                call.app + "`"};
}

// A stream's call is over when the stream is.
template <typename Sink>
io::Task<base::Result<>> inside(std::shared_ptr<Gate::Place> place, std::function<io::Task<base::Result<>>(Sink&)> rest,
                                Sink& sink) {
  auto done = co_await rest(sink);
  place.reset();
  co_return done;
}

void keep_place(Reply& reply, Gate::Place place) {
  const auto kept = std::make_shared<Gate::Place>(std::move(place));
  if (reply.stream) {
    reply.stream = [kept, rest = std::move(reply.stream)](http::BodyWriter& writer) {
      return inside(kept, rest, writer);
    };
  }
  if (reply.tunnel) {
    reply.tunnel = [kept, rest = std::move(reply.tunnel)](http::Tunnel& client) { return inside(kept, rest, client); };
  }
}

}  // namespace

Engine::Engine(io::Cores& cores, const model::Config& config, Stores stores, InvokeAttempt invoke_attempt)
    : stores_(std::move(stores)),
      metrics_(EBB_VERSION),
      pool_(kPoolThreads, kPoolQueue),
      services_{.cores = cores,
                .config = config,
                .python_version = stores_.python_version,
                .node_toolchain = stores_.node_toolchain,
                .pool = pool_,
                .metadata = *stores_.metadata,
                .packages = *stores_.packages,
                .log = *stores_.log,
                .usage = *stores_.usage,
                .budgets = *stores_.budgets,
                .metrics = metrics_,
                .secrets = *stores_.secrets},
      sandboxes_(services_),
      egress_(services_),
      pressure_(services_),
      deployments_(services_, *this),
      async_calls_(services_, *stores_.calls, *this, std::move(invoke_attempt),
                   [this](const sched::AsyncCall& call) { return async_room(call); }),
      timers_(services_, *stores_.calls, async_calls_) {
  services_.sandboxes = &sandboxes_;
  services_.egress = &egress_;
  services_.pressure = &pressure_;
  const auto processors = static_cast<std::uint32_t>(services_.processors.count);
  services_.turns = std::make_shared<StartTurns>(std::max(2U, processors), kStartAge, config.max_instances);
  services_.load_turns = std::make_shared<StartTurns>(2 * processors, kLoadAge, config.max_instances);
  services_.spare_room = std::make_shared<SpareRoom>(
      config.max_spares, base::Bytes{config.memory_budget.count / 100 * limits::kSpareMemoryShare});
}

Engine::~Engine() { async_calls_.close(); }  // its thread looks at what is declared behind it

namespace {

// They were there when it was deployed. Its timers show that they are never due.
void tell_lost_zones(const model::Version& version) {
  for (const model::ScaleWindow& window : version.spec.scale.windows) {
    const auto zone = model::TimeZone::named(window.zone);
    if (zone) continue;
    base::log(
        base::LogLevel::kWarning, "window_never_opens",
        {{"function", version.app + "/" + version.function}, {"from", window.from}, {"error", zone.error().message}});
  }
}

}  // namespace

base::Result<> Engine::begin(os::Fd launcher_socket) {
  asio::io_context& home = services_.cores.context(0);
  services_.launcher = sandbox::LauncherClient::start(
      home, std::move(launcher_socket), [this](const wire::Exited& event) { exited(event); },
      [this] { launcher_lost(); });
  services_.launcher->tell_of_links([this](const wire::Linked& event) { egress_.linked(event); },
                                    [this](const wire::Unlinked& event) { egress_.unlinked(event); });
  services_.launcher->tell_of_memory([this] { pressure_.memory_short(); });
  EBB_CHECKED(services_.organisations.load());
  EBB_TRY(const std::vector<model::Quota> quotas, services_.metadata.quotas());
  for (const model::Quota& quota : quotas) services_.quotas.set(quota);
  EBB_TRY(const std::vector<store::App> apps, services_.metadata.apps());
  for (const store::App& app : apps) scale_app(app.name, app.scale);
  EBB_TRY(const std::vector<model::Version> versions, services_.metadata.all_current());
  for (const model::Version& version : versions) {
    tell_lost_zones(version);
    EBB_TRY(const Runner runner, made_runner(version));
    base::MutexLock lock(mutex_);
    current_[{version.app, version.function}] = runner;
  }
  EBB_TRY(std::vector<model::Alias> aliases, services_.metadata.aliases());
  for (model::Alias& alias : aliases) {
    base::MutexLock lock(mutex_);
    aliases_[{alias.app, alias.function}].insert_or_assign(alias.name, std::move(alias));
  }
  EBB_CHECKED(receivers_.open());
  EBB_CHECKED(async_calls_.begin());
  EBB_CHECKED(timers_.begin(versions));
  for (const auto& runner : all_runners()) runner->prewarm();
  io::spawn(home, "load what aliases stand for", load_aliased(*this));
  io::spawn(home, "tick", tick_forever(*this));
  io::spawn(home, "flush usage", flush_usage_forever(*this));
  ready_ = true;
  return {};
}

// --- invocations ---

io::Task<Reply> Engine::invoke(Call call) {
  if (draining_) {
    co_return Reply{.error = base::Error{
                        .code = base::Code::kUnavailable, .message = "this node is shutting down", .retry_after = 1s}};
  }
  Reply reply;
  // A call that waited while its version was replaced goes on to the next one; it gives up when they change faster than
  // that.
  for (int attempt = 0; attempt < kReplacedMost; ++attempt) {
    base::Result<Runner> runner = known_runner(call);
    const bool is_by_number = runner && !*runner;
    if (is_by_number) {
      Name name{call.app, call.function};
      runner = co_await runner_of_number(std::move(name), call.version_number);
    }
    if (!runner) co_return Reply{.error = runner.error()};
    const Runner chosen = *std::move(runner);
    if (call.key_shown != Call::KeyShown::kGranted && asks_for_key(chosen->version().spec, services_.config)) {
      co_return Reply{.error = key_refusal(call)};
    }
    if (std::optional<Reply> refusal = chosen->refuses(call)) co_return *std::move(refusal);
    // Only a web server that the daemon reaches takes its body as it comes; others wait for an instance when theirs is
    // here.
    const model::FunctionSpec& spec = chosen->version().spec;
    const bool as_it_comes = call.kind == Call::Kind::kHttp && spec.runtime == "http" && model::listens(spec);
    if (call.request.unread && !as_it_comes) {
      std::shared_ptr<sandbox::HeldOfApp> of_app = chosen->request_bodies();
      const base::Result<> whole = co_await read_body(call, std::move(of_app));
      if (!whole) co_return Reply{.version_number = chosen->version().number, .error = whole.error()};
    }
    const Gate::Taker taker = call.attempt > 0 ? Gate::Taker::kYielding : Gate::Taker::kFirst;
    if (call.whole_at == base::SteadyTime{}) call.whole_at = base::steady_now();
    auto place = Gate::enter(chosen->gate(), call.whole_at, taker);
    if (!place) co_return Reply{.version_number = chosen->version().number, .error = place.error()};
    ++running_;
    reply = co_await chosen->invoke(call);
    --running_;
    if (reply.stream || reply.tunnel) keep_place(reply, *std::move(place));
    if (!reply.replaced) break;
  }
  if (reply.error) reply.status = base::http_status_of(reply.error->code);
  co_return reply;
}

base::Result<Engine::Runner> Engine::known_runner(Call& call) {
  const Name name{call.app, call.function};
  base::MutexLock lock(mutex_);
  const auto at = current_.find(name);
  if (at == current_.end()) return no_function(name.first, name.second);
  if (!call.alias.empty()) {
    const auto of_function = aliases_.find(name);
    static const AliasesOfOne kNone;
    const AliasesOfOne& known = of_function == aliases_.end() ? kNone : of_function->second;
    const auto alias = known.find(call.alias);
    if (alias == known.end()) {
      // Whoever may not call learns no names.
      const bool may_call =
          call.key_shown == Call::KeyShown::kGranted || !asks_for_key(at->second->version().spec, services_.config);
      return may_call ? no_alias(call, known) : key_refusal(call);
    }
    call.version_number = model::version_for(alias->second, call.id);
  }
  if (call.version_number == 0 || at->second->version().number == call.version_number) return at->second;
  const auto old = by_number_.find({name, call.version_number});
  return old == by_number_.end() ? nullptr : old->second;
}

// --- the launcher's events ---

void Engine::exited(const wire::Exited& event) {
  if (event.subject == wire::Subject::kSandbox) {
    sandboxes_.exited(event.id);
    return;
  }
  if (event.subject == wire::Subject::kBuild) return;
  const auto runner = services_.directory.find(event.subject, event.id);
  if (!runner) return;
  if (event.subject == wire::Subject::kInstance) {
    runner->instance_exited(event);
  } else {
    runner->zygote_exited(event.id);
  }
}

// Without the launcher nothing can be started or stopped: the service manager starts both anew.
void Engine::launcher_lost() {
  ready_ = false;
  base::log(base::LogLevel::kError, "launcher_lost");
  services_.cores.stop();
}

// --- control plane ---

io::Task<base::Result<std::uint64_t>> Engine::deploy(std::string archive, DeploymentOptions options) {
  co_return deployments_.begin(std::move(archive), std::move(options));
}

io::Task<base::Result<DeploymentStatus>> Engine::deployment(std::uint64_t id, std::uint64_t sequence,
                                                            base::Duration wait) {
  return deployments_.status(id, sequence, wait);
}

io::Task<base::Result<Deployed>> Engine::functions(std::string app) {
  Deployed listed;
  std::map<std::string, AppView> apps;
  std::set<Name> seen;  // current versions come first; of old ones only those that have something running are shown
  for (const auto& runner : all_runners()) {
    if (!app.empty() && runner->version().app != app) continue;
    FunctionView view = runner->view();
    const auto [instances, most] = runner->gate()->instances();
    apps.try_emplace(view.version.app,
                     AppView{.name = view.version.app,
                             .instances = instances,
                             .scale = {.reserve = services_.reserves.of_app(view.version.app), .max_instances = most}});
    const bool current = seen.emplace(view.version.app, view.version.function).second;
    if (current) view.timers = timers_.view(view.version.app, view.version.function);
    if (current || view.idle + view.busy + view.starting + view.spares > 0) listed.functions.push_back(std::move(view));
  }
  if (listed.functions.empty() && !app.empty())
    co_return base::not_found("there is no app " + app + ", `ebb ls` shows what is deployed");
  for (auto& [name, view] : apps) listed.apps.push_back(std::move(view));
  co_return listed;
}

io::Task<base::Result<std::uint64_t>> Engine::remove(std::string app, std::string function) {
  store::Metadata& metadata = services_.metadata;
  store::FunctionLogs& log = services_.log;
  std::function<base::Result<std::uint64_t>()> remove_rows = [this, &metadata, &log, app,
                                                              function]() -> base::Result<std::uint64_t> {
    base::MutexLock naming(naming_);
    EBB_CHECKED(function.empty() ? metadata.remove_app(app) : metadata.remove_function(app, function));
    if (function.empty()) scale_app(app, {});
    std::vector<Runner> closed;
    {
      base::MutexLock lock(mutex_);
      closed =
          forget([&](const Name& name) { return name.first == app && (function.empty() || name.second == function); });
    }
    for (const Runner& runner : closed) {
      runner->close();
      services_.metrics.forget(app, runner->version().function);
    }
    // Before the log, and in one go with the names: if anything fails after it, no call is left that nobody can name.
    timers_.forget(app, function);
    EBB_TRY(const std::uint64_t calls, async_calls_.remove_all(app, function));
    EBB_CHECKED(log.remove(app, function));
    return calls;
  };
  auto removed = co_await io::offload(services_.pool, "remove", std::move(remove_rows));
  if (!removed) co_return removed.error();
  if (function.empty()) {
    sandboxes_.remove_app(app);
    services_.metrics.forget(app);
  }
  co_return removed;
}

io::Task<base::Result<LogPage>> Engine::logs(LogQuery query) {
  std::vector<std::string> functions;
  if (!query.function.empty()) functions.push_back(query.function);
  for (const auto& runner : all_runners()) {
    if (query.function.empty() && runner->version().app == query.app) functions.push_back(runner->version().function);
  }
  if (functions.empty())
    co_return base::not_found("there is no app " + query.app + ", `ebb ls` shows what is deployed");
  store::FunctionLogs& log = services_.log;
  std::function<base::Result<LogPage>()> read = [&log, query, functions] { return read_logs(log, query, functions); };
  co_return co_await io::offload(services_.pool, "read logs", std::move(read));
}

io::Task<base::Result<UsagePage>> Engine::usage(UsageQuery query) {
  meter::UsageLog& usage = services_.usage;
  const AppSet apps = apps_of(query.organisation);
  std::function<base::Result<UsagePage>()> read = [&usage, query, apps] { return read_usage(usage, query, apps); };
  co_return co_await io::offload(services_.pool, "read usage", std::move(read));
}

io::Task<base::Result<UsageExportPage>> Engine::usage_page(ExportQuery query) {
  const AppSet apps = apps_of(query.organisation);
  std::function<base::Result<UsageExportPage>()> read = [this, query, apps] {
    return export_page(services_.usage, query, apps);
  };
  co_return co_await io::offload(services_.pool, "export usage", std::move(read));
}

io::Task<base::Result<std::shared_ptr<const meter::Bill>>> Engine::bill(BillQuery query) {
  using Answer = base::Result<std::shared_ptr<const meter::Bill>>;
  const AppSet apps = apps_of(query.organisation);
  std::function<Answer()> read = [this, query, apps] {
    return read_bill({services_.usage, *stores_.ledger, services_.config.price_file}, query, apps);
  };
  co_return co_await io::offload(services_.pool, "make a bill", std::move(read));
}

io::Task<base::Result<BillExplanation>> Engine::explain_bill(std::string app, std::string function,
                                                             std::optional<base::InvocationId> request) {
  std::function<base::Result<BillExplanation>()> read = [this, app, function, request] {
    return explain({services_.usage, *stores_.ledger, services_.config.price_file}, app, function, request);
  };
  co_return co_await io::offload(services_.pool, "explain a bill", std::move(read));
}

io::Task<base::Result<LedgerReport>> Engine::check_ledger(bool rebuild) {
  std::function<base::Result<LedgerReport>()> check = [this, rebuild] {
    return look_at_ledger(services_.usage, *stores_.ledger, rebuild);
  };
  co_return co_await io::offload(services_.pool, "check the ledger", std::move(check));
}

// False when the launcher does not say.
io::Task<bool> Engine::read_app_cpu(std::string app) {
  const auto metrics = metrics_.app(app);  // before the wait: it may be removed meanwhile
  std::string payload = encode(wire::ReadCpu{.app = app});
  std::vector<os::Fd> none;
  const auto answer = co_await services_.launcher->ask(wire::LauncherType::kReadCpu, std::move(payload),
                                                       std::move(none), limits::kReadCpuWait, nullptr);
  if (!answer) co_return false;
  const auto use = wire::decode<wire::CpuUse>(answer->payload);
  if (!use) co_return false;
  metrics->cpu.set(std::chrono::nanoseconds(use->total_ns));
  metrics->cpu_of_runtimes.set(std::chrono::nanoseconds(use->runtimes_ns));
  metrics->cpu_of_zygotes.set(std::chrono::nanoseconds(use->zygotes_ns));
  co_return true;
}

io::Task<std::string> Engine::metrics_text() {
  std::int64_t instances = 0, spares = 0, zygotes = 0, queued = 0;
  std::set<std::string> apps;
  for (const auto& runner : all_runners()) {
    const FunctionView view = runner->view();
    apps.insert(view.version.app);
    runner->count_cpu();
    instances += view.idle + view.busy + view.starting + view.spares;
    spares += view.spares;
    queued += static_cast<std::int64_t>(view.queued);
    if (view.zygote == "ready") ++zygotes;
  }
  metrics_.node.instances.set(instances);
  metrics_.node.spares.set(spares);
  metrics_.node.zygotes.set(zygotes);
  metrics_.node.queue_depth.set(queued);
  metrics_.node.processors.set(std::thread::hardware_concurrency());
  metrics_.node.memory_budget_bytes.set(static_cast<std::int64_t>(services_.config.memory_budget.count));
  metrics_.node.keep_alive_price.set(services_.config.keep_alive_price);
  metrics_.node.spares_max.set(services_.config.max_spares);
  metrics_.node.answer_bytes.set(static_cast<std::int64_t>(services_.answers.bytes()));
  metrics_.node.request_bytes.set(static_cast<std::int64_t>(services_.request_bodies.bytes()));
  metrics_.node.usage_records_open.set(static_cast<std::int64_t>(services_.usage.open_records()));
  for (const std::string& app : apps) {
    const bool told = co_await read_app_cpu(app);
    if (!told) break;  // one such wait is enough
  }
  std::string text = metrics_.render();
  text += receivers_.metrics_text();
  text += async_calls_.metrics_text();
  text += timers_.metrics_text();
  co_return text;
}

// --- life ---

std::vector<std::shared_ptr<VersionRunner>> Engine::all_runners() { return runners_due(base::SteadyTime::max()); }

std::vector<std::shared_ptr<VersionRunner>> Engine::runners_due(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  std::vector<std::shared_ptr<VersionRunner>> due;
  const auto add = [&](const auto& runners) {
    for (const auto& [name, runner] : runners) {
      if (runner->tick_due(now)) due.push_back(runner);
    }
  };
  add(current_);
  add(by_number_);
  return due;
}

void Engine::close_unused(base::SteadyTime now) {
  std::vector<std::shared_ptr<VersionRunner>> closed;
  {
    base::MutexLock lock(mutex_);
    std::erase_if(by_number_, [&](const auto& entry) EBB_REQUIRES(mutex_) {
      const auto& [name, number] = entry.first;
      return !is_aliased(name, number) && entry.second->unused_for(kOldVersionKept, now) &&
             (closed.push_back(entry.second), true);
    });
  }
  for (const auto& runner : closed) runner->close();
}

void Engine::expect_timers(base::WallTime wall, base::SteadyTime now) {
  std::vector<std::pair<Runner, base::WallTime>> calls;
  const auto next = timers_.next_calls();
  {
    base::MutexLock lock(mutex_);
    for (const auto& [name, due] : next) {
      if (const auto at = current_.find(name); at != current_.end()) calls.emplace_back(at->second, due);
    }
  }
  for (const auto& [runner, due] : calls) runner->expect_call(now + (due - wall), now);
}

io::Task<> Engine::tick_forever(Engine& engine) {
  for (;;) {
    co_await io::sleep_for(kTick);
    const base::SteadyTime now = base::steady_now();
    for (const auto& runner : engine.runners_due(now)) runner->tick(now);
    engine.sandboxes_.tick(now);
    engine.tell_of_budgets();
    const base::WallTime wall = base::wall_now();
    engine.timers_.tick(wall, now);
    engine.expect_timers(wall, now);
    engine.async_calls_.tick(now);
    engine.close_unused(now);
  }
}

io::Task<> Engine::drain(base::Duration limit) {
  draining_ = true;
  timers_.stop();
  async_calls_.stop();
  const base::SteadyTime deadline = base::steady_now() + limit;
  const auto at_work = [this] { return running_ > 0 || async_calls_.under_way() > 0; };
  while (at_work() && base::steady_now() < deadline) co_await io::sleep_for(10ms);
  async_calls_.close();
  (void)note_held(base::Duration::zero());
  (void)services_.usage.flush();
}

base::Result<std::unique_ptr<Node>> Node::start(io::Cores& cores, const model::Config& config, os::Fd launcher_socket,
                                                InvokeAttempt invoke_attempt) {
  EBB_TRY(Stores stores, open_stores(config));
  auto engine = std::make_unique<Engine>(cores, config, std::move(stores), std::move(invoke_attempt));
  EBB_CHECKED(engine->begin(std::move(launcher_socket)));
  return std::unique_ptr<Node>(std::move(engine));
}

}  // namespace ebb::node
