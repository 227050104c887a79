#include "node/deployments.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/limits.h"
#include "base/limits_held.h"
#include "base/log.h"
#include "node/egress.h"
#include "node/model_layer.h"
#include "node/npm_layer.h"
#include "node/version_runner.h"
#include "sandbox/output_pipe.h"
#include "store/package.h"
#include "store/sha256.h"
#include "wire/message.h"

namespace ebb::node {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// Part of the key of a built package: bump when the build step below changes what it makes.
constexpr std::string_view kBuildRecipe = "build-1";

// Images that came with the package lie in the layer store by now. Their paths need no quoting (parse_image_reference).
std::string without_images(const model::Manifest& manifest) {
  std::string command;
  for (const model::FunctionSpec& spec : manifest.functions) {
    const auto reference = model::parse_image_reference(spec.image.reference);
    if (!reference || reference->path.empty()) continue;
    command += "rm -rf -- ./'" + reference->path + "' && ";
  }
  return command;
}

// The scripts of runtimes/image and runtimes/npm say the reason in their last line.
std::optional<std::string> reason_in(const std::string& tail) {
  constexpr std::string_view kReason = "\nerror: ";
  const std::string text = "\n" + tail;
  const auto at = text.rfind(kReason);
  if (at == std::string::npos) return std::nullopt;
  const auto from = at + kReason.size();
  return text.substr(from, text.find('\n', from) - from);
}

// What a build that failed said of it, for who deployed.
std::string failure_of(const std::string& phase, const std::string& tail, const std::string& end) {
  if (phase == "layer") return "requirements.txt cannot be installed: " + end;
  const bool is_image = phase == "image";
  if (!is_image && phase != kNpmPhase) return "the build command failed: " + end;
  const std::optional<std::string> told = reason_in(tail);
  if (is_image) return told.value_or("the image cannot be used: " + end);
  return "package-lock.json cannot be installed: " + told.value_or(end);
}

}  // namespace

base::Result<std::uint64_t> Deployments::begin(std::string archive, DeploymentOptions options) {
  auto job = std::make_shared<Job>();
  job->archive = std::move(archive);
  job->archive_held = std::move(options.archive_held);
  job->status.only_app = std::move(options.only_app);
  job->status.organisation = std::move(options.organisation);
  job->build_only = options.build_only;
  job->owner = std::move(options.owner);
  return begin_job(std::move(job));
}

base::Result<std::uint64_t> Deployments::begin_change(SecretChange change) {
  auto job = std::make_shared<Job>();
  job->status.app = change.app;
  job->owner = model::answers_for(change.app, services_.organisations.of(change.app));
  job->change = std::move(change);
  return begin_job(std::move(job));
}

base::Result<std::uint64_t> Deployments::begin_job(std::shared_ptr<Job> job) {
  base::MutexLock lock(mutex_);
  if (waiting_.size() >= limits::kDeploymentsWaiting) {
    return base::Error{.code = base::Code::kResourceExhausted,
                       .message = "too many deployments are waiting, try again later",
                       .retry_after = 5s};
  }
  const auto of_owner =
      std::count_if(waiting_.begin(), waiting_.end(), [&](const auto& one) { return one->owner == job->owner; });
  if (job->owner != model::Holder{} && of_owner >= std::ptrdiff_t{limits::kDeploymentsWaitingPerOwner}) {
    return base::Error{.code = base::Code::kResourceExhausted,
                       .message = job->owner.text() + " has " + std::to_string(of_owner) +
                                  " deployments waiting, its part of those that may: try again later",
                       .retry_after = 5s};
  }
  job->status.id = next_id_++;
  jobs_.push_back(job);
  if (jobs_.size() > limits::kDeploymentsKept) jobs_.pop_front();
  waiting_.push_back(job);
  if (!running_) {
    running_ = true;
    io::spawn(services_.here(), "deployments", run_all(*this));
  }
  return job->status.id;
}

io::Task<base::Result<DeploymentStatus>> Deployments::status(std::uint64_t id, std::uint64_t after,
                                                             base::Duration wait) {
  const auto watcher = std::make_shared<io::OneShot<bool>>();
  std::shared_ptr<Job> job;
  {
    base::MutexLock lock(mutex_);
    for (const auto& one : jobs_) {
      if (one->status.id == id) job = one;
    }
    if (!job)
      co_return base::not_found("deployment " + std::to_string(id) + " is not known, the newest " +
                                std::to_string(limits::kDeploymentsKept) + " are kept until a restart");
    const bool news = job->status.state != DeploymentStatus::State::kRunning ||
                      (!job->status.events.empty() && job->status.events.back().sequence > after);
    if (news) {
      watcher->set(true);
    } else {
      job->watchers.push_back(watcher);
    }
  }
  (void)co_await watcher->wait(base::steady_now() + wait);
  base::MutexLock lock(mutex_);
  std::erase(job->watchers, watcher);
  DeploymentStatus status = job->status;
  std::erase_if(status.events, [&](const DeploymentEvent& event) { return event.sequence <= after; });
  co_return status;
}

io::Task<> Deployments::run_all(Deployments& self) {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      base::MutexLock lock(self.mutex_);
      if (self.waiting_.empty()) {
        self.running_ = false;
        co_return;
      }
      job = std::move(self.waiting_.front());
      self.waiting_.pop_front();
    }
    base::Result<> result = co_await self.run(job);
    co_await self.collect_unused();
    self.finish(job, std::move(result));
  }
}

void Deployments::finish(const std::shared_ptr<Job>& job, base::Result<> result) {
  std::vector<std::shared_ptr<io::OneShot<bool>>> watchers;
  std::string app;
  {
    base::MutexLock lock(mutex_);
    app = job->status.app;
    job->archive = {};
    job->archive_held.reset();
    job->change.reset();
    job->status.state = result ? DeploymentStatus::State::kSucceeded : DeploymentStatus::State::kFailed;
    if (!result) job->status.error = result.error();
    watchers = std::move(job->watchers);
    job->watchers.clear();
  }
  for (const auto& watcher : watchers) watcher->set(true);
  if (result) {
    base::log(base::LogLevel::kInfo, job->build_only ? "built" : "deployed", {{"app", app}});
  } else {
    base::log(base::LogLevel::kWarning, "deployment_failed", {{"app", app}, {"error", result.error().message}});
  }
}

void Deployments::say(const std::shared_ptr<Job>& job, std::string phase, std::string message) {
  std::vector<std::shared_ptr<io::OneShot<bool>>> watchers;
  {
    base::MutexLock lock(mutex_);
    if (job->status.events.size() >= limits::kDeploymentEvents) return;
    job->status.events.push_back(
        {.sequence = job->status.events.size() + 1, .phase = std::move(phase), .message = std::move(message)});
    watchers = std::move(job->watchers);
    job->watchers.clear();
  }
  for (const auto& watcher : watchers) watcher->set(true);
}

std::string Deployments::tree_path(std::string_view kind, const std::string& key) const {
  return services_.config.data_dir + "/" + std::string(kind) + "/" + key;
}

io::Task<base::Result<>> Deployments::run(std::shared_ptr<Job> job) {
  Plan plan;
  if (job->change) {
    base::Result<> planned = co_await plan_change(job, plan);
    if (planned) planned = co_await try_aliased(job, plan);
    if (planned) planned = co_await publish(job, plan);
    co_return planned;
  }
  base::Result<> step = co_await store_package(job, plan);
  if (step) step = co_await check_needs(plan);
  if (step) step = co_await prepare_images(job, plan);
  if (step) step = co_await build_layer(job, plan);
  if (step) step = co_await build_npm_layer(job, plan);
  if (step) step = co_await build_model_layer(job, plan);
  if (step) step = co_await build_package(job, plan);
  if (step) step = co_await check_storage(plan);
  if (step) note_built(job, plan);
  if (step && !job->build_only) step = co_await publish(job, plan);
  co_return step;
}

void Deployments::note_built(const std::shared_ptr<Job>& job, const Plan& plan) {
  base::MutexLock lock(mutex_);
  job->status.package_key = plan.package_key;
  job->status.layer_key = plan.layer_key;
}

base::Result<std::string> Deployments::read_file(const std::string& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  const std::string name = fs::path(path).filename().string();
  if (!file) return base::not_found(name + " is not in the package");
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = name + " is larger than " + base::to_string(base::Bytes{bytes_max})};
  }
  return text;
}

io::Task<base::Result<>> Deployments::store_package(std::shared_ptr<Job> job, Plan& plan) {
  say(job, "package", "reading the package");
  const std::string packages = services_.config.data_dir + "/packages";
  std::function<base::Result<std::string>()> import = [job, &store = services_.packages] {
    return store.import_bytes(job->archive);
  };
  auto key = co_await io::offload(services_.pool, "import package", std::move(import));
  job->archive = {};  // a build may take long
  job->archive_held.reset();
  if (!key) co_return key.error();
  plan.package_key = *key;
  EBB_CO_TRY(const std::string yaml, read_file(packages + "/" + *key + "/ebb.yaml", limits::kManifestBytes));
  EBB_CO_TRY(plan.manifest, model::parse_manifest(yaml));
  if (!job->status.only_app.empty() && job->status.only_app != plan.manifest.app) {
    co_return base::Error{.code = base::Code::kPermissionDenied,
                          .message = "this key deploys app " + job->status.only_app + ", the manifest is of app " +
                                     plan.manifest.app + ": take a key of that app or correct ebb.yaml"};
  }
  for (const model::FunctionSpec& spec : plan.manifest.functions) {
    const auto reachable = check_reachable(spec, services_.config);
    if (!reachable) co_return reachable.error();
  }
  {
    base::MutexLock lock(mutex_);
    job->status.app = plan.manifest.app;
  }
  const std::string app = plan.manifest.app;
  std::function<base::Result<store::App>()> create =
      [&metadata = services_.metadata, &organisations = services_.organisations, app,
       organisation = job->status.organisation]() -> base::Result<store::App> {
    EBB_CHECKED(organisations.claim(app, organisation));
    return metadata.create_or_get_app(app);
  };
  auto row = co_await io::offload(services_.pool, "create app", std::move(create));
  if (!row) co_return row.error();
  plan.uid_index = row->uid_index;
  co_return base::Result<>();
}

// Before minutes are spent on a build: is every secret there, and can the node keep what is to be reserved?
io::Task<base::Result<>> Deployments::check_needs(Plan& plan) {
  const model::Manifest manifest = plan.manifest;
  std::function<base::Result<>()> check = [&secrets = services_.secrets, &metadata = services_.metadata,
                                           &config = services_.config, manifest]() -> base::Result<> {
    EBB_TRY(const std::vector<model::Version> current, metadata.all_current());
    EBB_TRY(const std::vector<store::App> apps, metadata.apps());
    EBB_CHECKED(check_reserves(manifest, current, apps, config));
    for (const model::FunctionSpec& spec : manifest.functions) {
      EBB_TRY(const SecretValues values, secrets.values_for(manifest.app, spec));
    }
    return {};
  };
  co_return co_await io::offload(services_.pool, "check needs", std::move(check));
}

// The code as it will be imported: the build command has run over a copy, and every module is byte-compiled, so that no
// start compiles.
io::Task<base::Result<>> Deployments::build_package(std::shared_ptr<Job> job, Plan& plan) {
  store::Sha256 hash;
  for (const std::string_view part :
       {kBuildRecipe, std::string_view(plan.package_key), std::string_view(plan.layer_key),
        std::string_view(services_.python_version), std::string_view(plan.manifest.build)}) {
    hash.add(part);
    hash.add(std::string_view("\0", 1));
  }
  const std::string output_key = hash.finish();
  std::error_code missing;
  const std::string source_key = std::exchange(plan.package_key, output_key);
  if (fs::exists(tree_path("packages", output_key), missing)) {
    say(job, "build", "code unchanged");
    co_return base::Result<>();
  }
  say(job, "build", plan.manifest.build.empty() ? "compiling" : "running: " + plan.manifest.build);
  // A file with a syntax error stays uncompiled here; the import of the handler names it with its line.
  const std::string compile =
      services_.config.python +
      " -m compileall -q --invalidation-mode unchecked-hash -s /ebb/out -p /var/task /ebb/out || true";
  const std::string command = plan.manifest.build.empty() ? "" : "( " + plan.manifest.build + "\n) && ";
  wire::Build build{.source_key = source_key,
                    .layer_key = plan.layer_key,
                    .output = wire::TreeKind::kPackage,
                    .output_key = output_key,
                    .argv = {"/bin/sh", "-c",
                             "cp -R /ebb/source/. /ebb/out/ && chmod -R u+w /ebb/out && cd /ebb/out && " +
                                 without_images(plan.manifest) + command + "{ " + compile + "; }"},
                    .env = {"PATH=/ebb/layer/node_modules/.bin:/usr/bin:/bin:/usr/local/bin", "HOME=/tmp",
                            "LANG=C.UTF-8", "PYTHONPATH=/ebb/layer", "PYTHONDONTWRITEBYTECODE=1"}};
  co_return co_await run_build(job, "build", std::move(build));
}

io::Task<base::Result<>> Deployments::run_build(std::shared_ptr<Job> job, std::string phase, wire::Build build) {
  build.build = services_.next_build++;
  build.memory_bytes = limits::kBuildMemoryBytes;
  const std::uint64_t id = build.build;
  std::string order = encode(build);
  // Who deploys decides how long a command is.
  if (order.size() > limits::kWireMessageBytes - wire::kMessageHeaderBytes) {
    co_return base::Error{.code = base::Code::kTooLarge,
                          .message = "the command of " + phase + " and its environment have " +
                                     std::to_string(order.size()) + " bytes, the limit is " +
                                     std::to_string(limits::kWireMessageBytes - wire::kMessageHeaderBytes) +
                                     ": put what is long into a file of the package"};
  }
  auto tail = std::make_shared<std::string>();
  const auto ends_with = [tail](const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      *tail += line + '\n';
      if (tail->size() > 2 * limits::kBuildTailBytes) tail->erase(0, tail->size() - limits::kBuildTailBytes);
    }
  };
  const auto sink = [this, job, phase, ends_with](const base::InvocationId&, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) say(job, phase, line);
    ends_with(lines);
  };
  std::vector<os::Fd> ends(1);
  auto pipe = sandbox::OutputPipe::open(services_.here(), sink, &ends[0], ends_with);
  if (!pipe) co_return pipe.error();
  auto answer = co_await services_.launcher->ask(wire::LauncherType::kBuild, std::move(order), std::move(ends),
                                                 limits::kBuildTimeout, nullptr);
  (*pipe)->finish();
  (*pipe)->close();
  if (answer) co_return base::Result<>();
  services_.launcher->kill(wire::Subject::kBuild, id);
  base::Error error = answer.error();
  if (error.code == base::Code::kFunctionFailed && phase == kModelPhase) {
    error = base::unavailable("ONNX Runtime cannot be installed, is the package index in reach? " + error.message);
  } else if (error.code == base::Code::kFunctionFailed) {
    error.code = base::Code::kInvalidArgument;  // the fault is in what was deployed
    error.message = failure_of(phase, *tail, error.message);
    if (phase == "image") co_return error;  // it says all
  }
  base::MutexLock lock(mutex_);
  job->status.detail = *tail;
  co_return error;
}

io::Task<base::Result<>> Deployments::publish(std::shared_ptr<Job> job, Plan& plan) {
  for (const model::FunctionSpec& spec : plan.manifest.functions) {
    // Of an image's program, what it needs is in the image.
    const std::string layer_key = spec.image.written() ? std::string()
                                  : is_model(spec)     ? plan.model_layer_key
                                                       : plan.layer_key;
    plan.wanted.push_back({.spec = spec, .package_key = plan.package_key, .layer_key = layer_key});
  }
  const std::vector<store::NewVersion> wanted = plan.wanted;
  const std::string app = plan.manifest.app;
  const std::optional<SecretChange> change = job->change;
  store::Metadata& metadata = services_.metadata;
  Secrets& secrets = services_.secrets;
  Publisher& publisher = publisher_;
  std::function<base::Result<std::vector<store::PublishedVersion>>()> stage = [&metadata, app, wanted] {
    return metadata.stage_versions(app, wanted);
  };
  auto staged = co_await io::offload(services_.pool, "stage versions", std::move(stage));
  if (!staged) co_return staged.error();

  std::vector<std::shared_ptr<VersionRunner>> runners;
  std::vector<DeployedFunction> deployed;
  std::vector<base::VersionId> made;  // by this deployment: what was there stays, whatever is current by the end
  base::Result<> result;
  std::string detail;
  for (const store::PublishedVersion& one : *staged) {
    if (!one.unchanged) made.push_back(one.version.id);
    deployed.push_back(
        {.name = one.version.function, .version_number = one.version.number, .unchanged = one.unchanged, .note = {}});
    if (one.unchanged) {
      say(job, "zygote", one.version.function + " is unchanged (version " + std::to_string(one.version.number) + ")");
      continue;
    }
    const model::FunctionSpec& spec = one.version.spec;
    say(job, "zygote",
        spec.image.written() ? "starting " + spec.image.reference + " for " + one.version.function
        : is_model(spec)     ? "loading " + spec.model + " of " + one.version.function
                             : "importing " + spec.handler + " of " + one.version.function);
    std::function<base::Result<SecretValues>()> open = [&secrets, change, version = one.version] {
      return secrets.values_for(version.app, version.spec, change ? &*change : nullptr);
    };
    base::Result<SecretValues> values = co_await io::offload(services_.pool, "open secrets", std::move(open));
    auto runner = std::make_shared<VersionRunner>(services_, one.version, plan.uid_index, std::move(values));
    runners.push_back(runner);
    ZygoteOutcome outcome = co_await runner->prepare();
    if (!outcome.result) {
      result = outcome.result;
      detail = std::move(outcome.detail);
      break;
    }
    if (!outcome.unfit_reason.empty())
      deployed.back().note = "starts run init themselves, it cannot be forked: " + outcome.unfit_reason;
  }
  if (result) {
    say(job, "publish", "publishing");
    // A change of a secret has no manifest.
    const auto scale = change ? std::nullopt : std::optional(plan.manifest.scale);
    std::function<base::Result<>()> activate = [&publisher, change, app, scale, versions = *staged, runners] {
      return publisher.publish(app, versions, runners, scale, change ? &*change : nullptr);
    };
    result = co_await io::offload(services_.pool, "activate versions", std::move(activate));
  }
  if (!result) {
    for (const auto& runner : runners) runner->close();
    std::function<base::Result<>()> discard = [&metadata, made] { return metadata.discard_versions(made); };
    (void)co_await io::offload(services_.pool, "discard versions", std::move(discard));
    base::MutexLock lock(mutex_);
    job->status.detail = std::move(detail);
    if (result.error().code == base::Code::kFunctionFailed) {
      // Code that fails in init is a fault of what was deployed, not of a call.
      co_return base::Error{.code = base::Code::kInvalidArgument, .message = result.error().message};
    }
    co_return result;
  }
  base::MutexLock lock(mutex_);
  job->status.functions = std::move(deployed);
  co_return base::Result<>();
}

}  // namespace ebb::node
