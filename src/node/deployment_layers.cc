// The dependency layers of a deployment: what requirements.txt names, and ONNX Runtime for models, each installed once
// on a node, by a build, and found again by the hash of what was asked for.
#include <algorithm>
#include <filesystem>

#include "base/limits.h"
#include "node/build_environment.h"
#include "node/deployments.h"
#include "node/model_layer.h"
#include "store/package.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

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
  plan.layer_key = store::layer_key(text, services_.python_version, "linux-x86_64");
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

io::Task<base::Result<>> Deployments::build_model_layer(std::shared_ptr<Job> job, Plan& plan) {
  const auto& functions = plan.manifest.functions;
  if (std::none_of(functions.begin(), functions.end(), is_model)) co_return base::Result<>();
  plan.model_layer_key = store::layer_key(kModelRequirements, services_.python_version, "linux-x86_64");
  std::error_code missing;
  if (fs::exists(tree_path("layers", plan.model_layer_key), missing)) co_return base::Result<>();
  say(job, kModelPhase, "installing ONNX Runtime, once on this node");
  std::string phase(kModelPhase);
  wire::Build build = model_layer_build(services_.config.python, plan.model_layer_key, pip_environment(),
                                        services_.config.build_network == model::BuildNetwork::kHost);
  co_return co_await run_build(job, std::move(phase), std::move(build));
}

}  // namespace ebb::node
