// The layer of packages that package-lock.json names: installed by npm, in a build, by runtimes/npm/install.py. Where
// an app has requirements too, it holds them as well, so that a version still has one layer. Used by Deployments;
// docs/internals/decisions/0018-npm-layers.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "model/function_spec.h"
#include "wire/launcher_protocol.h"

namespace ebb::node {

/// What the deployment's progress and failures call this step.
inline constexpr const char* kNpmPhase = "npm";

/// Node's and npm's versions, as the key of a layer has them: "v20.20.2 11.19.1"; "none" for what is not there. Runs
/// `node --version`, so before the daemon gives up starting programs.
std::string node_toolchain();

/// Whether the function may load packages of npm: JavaScript, or a program of the package's own.
bool may_need_packages(const model::FunctionSpec& spec);

/// The variables that a package's .npmrc names, as ${NAME}, each once. Errors: kInvalidArgument when there are more
/// than limits::kNpmrcVariables.
base::Result<std::vector<std::string>> npmrc_variables(std::string_view npmrc);
/// The app's secret that stands for one: NPM_TOKEN is npm-token.
std::string npmrc_secret(std::string_view variable);
/// How runtimes/npm is told the value: an entry of its environment.
std::string npmrc_entry(std::string_view variable, std::string_view value);

/// The order that installs the lock of the package `source_key` over the layer `below` (or none) to the layer `key`.
wire::Build npm_layer_build(const model::Config& config, std::string source_key, std::string below, std::string key);

}  // namespace ebb::node
