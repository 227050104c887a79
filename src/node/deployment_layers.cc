// The dependency layers of a deployment: what requirements.txt and package-lock.json name, and ONNX Runtime for models,
// each installed once on a node, by a build, and found again by the hash of what was asked for.
#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/limits.h"
#include "base/limits_access.h"
#include "node/build_environment.h"
#include "node/deployments.h"
#include "node/model_layer.h"
#include "node/npm_layer.h"
#include "node/pip_install.h"
#include "store/package.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPlatform = "linux-x86_64";

// A file of requirements may hold --no-binary, and what is said last counts: on the command line, what stands in files
// is later. pip reads all files, those that they name too, before it looks for the first package.
constexpr std::string_view kWheelsOnly = "echo --only-binary=:all: > /tmp/wheels-only.txt || exit\n";

// What pip needs to reach its index the way this host does.
std::vector<std::string> pip_environment() {
  std::vector<std::string> env = {"PATH=/usr/bin:/bin",
                                  "HOME=/tmp",
                                  "LANG=C.UTF-8",
                                  "PIP_NO_INPUT=1",
                                  "PIP_DISABLE_PIP_VERSION_CHECK=1",
                                  "PIP_NO_CACHE_DIR=1",
                                  "PIP_ROOT_USER_ACTION=ignore"};
  add_variables(env, wire::kPipVariables);
  add_variables(env, wire::kProxyVariables);
  return env;
}

// What stands for the variables of .npmrc, as the build is told it; which is missing the build says, with the line that
// needs it. Blocking.
base::Result<std::vector<std::string>> npm_credentials(Secrets& secrets, const std::string& app,
                                                       const std::string& npmrc) {
  EBB_TRY(const std::vector<std::string> names, npmrc_variables(npmrc));
  std::vector<std::string> entries;
  std::size_t total = 0;
  for (const std::string& name : names) {
    model::FunctionSpec asks;
    asks.secrets = {{name, npmrc_secret(name)}};
    const base::Result<SecretValues> values = secrets.values_for(app, asks);
    if (!values && values.error().code == base::Code::kInvalidArgument) continue;  // not set
    if (!values) return values.error();
    entries.push_back(npmrc_entry(name, values->at(name)));
    total += name.size() + values->at(name).size();
  }
  if (total > limits::kSecretsBytes) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "the secrets that .npmrc names have " + std::to_string(total) +
                                  " bytes of names and values, the limit is " + std::to_string(limits::kSecretsBytes) +
                                  ": set each to the token alone"};
  }
  return entries;
}

}  // namespace

io::Task<base::Result<>> Deployments::build_layer(std::shared_ptr<Job> job, Plan& plan) {
  const std::string file = tree_path("packages", plan.package_key) + "/requirements.txt";
  std::error_code missing;
  if (!fs::exists(file, missing)) co_return base::Result<>();
  EBB_CO_TRY(const std::string text, read_file(file, limits::kManifestBytes));
  std::function<base::Result<std::string>()> key_of =
      [text, package_key = plan.package_key, package = tree_path("packages", plan.package_key),
       python = services_.python_version]() -> base::Result<std::string> {
    return store::layer_key(text, {.package_key = package_key, .package = package}, python, kPlatform);
  };
  auto key = co_await io::offload(services_.pool, "read requirements", std::move(key_of));
  EBB_CO_TRY(plan.layer_key, std::move(key));
  if (fs::exists(tree_path("layers", plan.layer_key), missing)) {
    say(job, "layer", "dependencies unchanged");
    co_return base::Result<>();
  }
  say(job, "layer", "installing requirements.txt");
  std::vector<std::string> wanted = {"--requirement", "/ebb/source/requirements.txt"};
  std::string_view first;
  if (services_.config.pip_only_binary) {
    first = kWheelsOnly;
    wanted.insert(wanted.end(), {"--requirement", "/tmp/wheels-only.txt"});
  }
  wire::Build build{.source_key = plan.package_key,
                    .output = wire::TreeKind::kLayer,
                    .output_key = plan.layer_key,
                    .host_network = services_.config.build_network == model::BuildNetwork::kHost,
                    .argv = pip_install(services_.config.python, std::move(wanted), first),
                    .env = pip_environment()};
  co_return co_await run_build(job, "layer", std::move(build));
}

// Upon the requirements, if there are any. What the package brings as node_modules is all there is to it then.
io::Task<base::Result<>> Deployments::build_npm_layer(std::shared_ptr<Job> job, Plan& plan) {
  const std::string source = tree_path("packages", plan.package_key);
  const auto& functions = plan.manifest.functions;
  std::error_code missing;
  if (!fs::exists(source + "/package-lock.json", missing) || fs::exists(source + "/node_modules", missing) ||
      std::none_of(functions.begin(), functions.end(), may_need_packages)) {
    co_return base::Result<>();
  }
  if (!fs::exists(source + "/package.json", missing)) {
    co_return base::invalid_argument("package-lock.json is in the package, package.json is not: npm needs both");
  }
  EBB_CO_TRY(const std::string package_json, read_file(source + "/package.json", limits::kManifestBytes));
  EBB_CO_TRY(const std::string lock, read_file(source + "/package-lock.json", limits::kLockBytes));
  std::string npmrc;
  if (fs::exists(source + "/.npmrc", missing)) {
    EBB_CO_TRY(npmrc, read_file(source + "/.npmrc", limits::kManifestBytes));
  }
  const std::string app = plan.manifest.app;
  std::function<base::Result<std::vector<std::string>>()> open = [&secrets = services_.secrets, app, npmrc] {
    return npm_credentials(secrets, app, npmrc);
  };
  // Each time, also where the layer is there: who has no credentials any more is not given it either.
  const auto credentials = co_await io::offload(services_.pool, "open credentials of npm", std::move(open));
  if (!credentials) co_return credentials.error();
  const std::string below = plan.layer_key;
  // With the organisation: an administrator may give a removed app's name to another one.
  const std::string owner = services_.organisations.of(app) + "/" + app;
  plan.layer_key = store::npm_layer_key({.package_json = package_json,
                                         .lock = lock,
                                         .toolchain = services_.node_toolchain,
                                         .platform = kPlatform,
                                         .below = below,
                                         .npmrc = npmrc,
                                         .private_to = credentials->empty() ? std::string_view() : owner});
  if (fs::exists(tree_path("layers", plan.layer_key), missing)) {
    say(job, kNpmPhase, "packages unchanged");
    co_return base::Result<>();
  }
  say(job, kNpmPhase, "installing package-lock.json");
  std::string phase(kNpmPhase);
  wire::Build build = npm_layer_build(services_.config, plan.package_key, below, plan.layer_key);
  build.env.insert(build.env.end(), credentials->begin(), credentials->end());
  co_return co_await run_build(job, std::move(phase), std::move(build));
}

io::Task<base::Result<>> Deployments::build_model_layer(std::shared_ptr<Job> job, Plan& plan) {
  const auto& functions = plan.manifest.functions;
  if (std::none_of(functions.begin(), functions.end(), is_model)) co_return base::Result<>();
  plan.model_layer_key = store::layer_key(kModelRequirements, {}, services_.python_version, kPlatform);
  std::error_code missing;
  if (fs::exists(tree_path("layers", plan.model_layer_key), missing)) co_return base::Result<>();
  say(job, kModelPhase, "installing ONNX Runtime, once on this node");
  std::string phase(kModelPhase);
  wire::Build build = model_layer_build(services_.config.python, plan.model_layer_key, pip_environment(),
                                        services_.config.build_network == model::BuildNetwork::kHost);
  co_return co_await run_build(job, std::move(phase), std::move(build));
}

}  // namespace ebb::node
