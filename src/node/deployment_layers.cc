// The dependency layers of a deployment: what requirements.txt and package-lock.json name, and ONNX Runtime for models,
// each installed once on a node, by a build, and found again by the hash of what was asked for.
#include <algorithm>
#include <filesystem>

#include "base/limits.h"
#include "node/build_environment.h"
#include "node/deployments.h"
#include "node/model_layer.h"
#include "node/npm_layer.h"
#include "store/package.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPlatform = "linux-x86_64";

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

}  // namespace

io::Task<base::Result<>> Deployments::build_layer(std::shared_ptr<Job> job, Plan& plan) {
  const std::string file = tree_path("packages", plan.package_key) + "/requirements.txt";
  std::error_code missing;
  if (!fs::exists(file, missing)) co_return base::Result<>();
  EBB_CO_TRY(const std::string text, read_file(file, limits::kManifestBytes));
  plan.layer_key = store::layer_key(text, services_.python_version, kPlatform);
  if (fs::exists(tree_path("layers", plan.layer_key), missing)) {
    say(job, "layer", "dependencies unchanged");
    co_return base::Result<>();
  }
  say(job, "layer", "installing requirements.txt");
  wire::Build build{
      .source_key = plan.package_key,
      .output = wire::TreeKind::kLayer,
      .output_key = plan.layer_key,
      .host_network = services_.config.build_network == model::BuildNetwork::kHost,
      .argv = {services_.config.python, "-m", "pip", "install", "--progress-bar", "off", "--target", "/ebb/out"},
      .env = pip_environment()};
  if (services_.config.pip_only_binary) build.argv.push_back("--only-binary=:all:");
  build.argv.insert(build.argv.end(), {"--requirement", "/ebb/source/requirements.txt"});
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
  const std::string below = plan.layer_key;
  plan.layer_key = store::npm_layer_key({.package_json = package_json,
                                         .lock = lock,
                                         .toolchain = services_.node_toolchain,
                                         .platform = kPlatform,
                                         .below = below});
  if (fs::exists(tree_path("layers", plan.layer_key), missing)) {
    say(job, kNpmPhase, "packages unchanged");
    co_return base::Result<>();
  }
  say(job, kNpmPhase, "installing package-lock.json");
  std::string phase(kNpmPhase);
  wire::Build build = npm_layer_build(services_.config, plan.package_key, below, plan.layer_key);
  co_return co_await run_build(job, std::move(phase), std::move(build));
}

io::Task<base::Result<>> Deployments::build_model_layer(std::shared_ptr<Job> job, Plan& plan) {
  const auto& functions = plan.manifest.functions;
  if (std::none_of(functions.begin(), functions.end(), is_model)) co_return base::Result<>();
  plan.model_layer_key = store::layer_key(kModelRequirements, services_.python_version, kPlatform);
  std::error_code missing;
  if (fs::exists(tree_path("layers", plan.model_layer_key), missing)) co_return base::Result<>();
  say(job, kModelPhase, "installing ONNX Runtime, once on this node");
  std::string phase(kModelPhase);
  wire::Build build = model_layer_build(services_.config.python, plan.model_layer_key, pip_environment(),
                                        services_.config.build_network == model::BuildNetwork::kHost);
  co_return co_await run_build(job, std::move(phase), std::move(build));
}

}  // namespace ebb::node
