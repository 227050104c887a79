// The dependency layer of functions that are a model alone: ONNX Runtime, of one version on every node, each of its
// files known by its hash. Installed like any other layer, once; used by Deployments.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/function_spec.h"
#include "wire/launcher_protocol.h"

namespace ebb::node {

/// What the deployment's progress and failures call this step.
inline constexpr const char* kModelPhase = "runtime";

/// Whether the function is a model alone.
inline bool is_model(const model::FunctionSpec& spec) { return spec.runtime == "model"; }

/// What is installed, in the form of a requirements file with hashes; the layer's key is made of it. Wheels for CPython
/// 3.11 to 3.13 on x86-64, as PyPI has them. onnxruntime needs nothing but numpy to run a model; what else it names is
/// for tools, so it stays out (--no-deps).
extern const std::string_view kModelRequirements;

/// The order that installs it by pip of `python` to the layer `key`. `env`: of pip.
wire::Build model_layer_build(const std::string& python, const std::string& key, std::vector<std::string> env,
                              bool host_network);

}  // namespace ebb::node
