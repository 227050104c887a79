#include "node/npm_layer.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/limits.h"
#include "base/limits_npm.h"
#include "node/build_environment.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInstall = "/ebb/runtime/npm/install.py";
constexpr const char* kNone = "none";

// The first of its name, where a sandbox looks too; all links followed. Empty: not there.
fs::path program(const std::string& name) {
  for (const char* directory : {"/usr/local/bin/", "/usr/bin/", "/bin/"}) {
    std::error_code missing;
    fs::path found = fs::canonical(directory + name, missing);
    if (!missing) return found;
  }
  return {};
}

std::string node_version() {
  const fs::path node = program("node");
  if (node.empty()) return kNone;
  std::FILE* pipe = ::popen(("'" + node.string() + "' --version 2>/dev/null").c_str(), "re");
  std::array<char, 64> line{};
  const bool read = pipe != nullptr && std::fgets(line.data(), static_cast<int>(line.size()), pipe) != nullptr;
  const int status = pipe != nullptr ? ::pclose(pipe) : -1;
  if (!read || status != 0) return kNone;
  const std::string version(line.data());
  return version.substr(0, version.find('\n'));
}

// From its package.json: npm itself takes a quarter of a second to say it, at every start of the daemon.
std::string npm_version() {
  const fs::path npm = program("npm");  // .../npm/bin/npm-cli.js
  if (npm.empty()) return kNone;
  std::ifstream file(npm.parent_path().parent_path() / "package.json", std::ios::binary);
  std::string text(limits::kManifestBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  boost::system::error_code failed;
  const boost::json::value parsed = boost::json::parse(text, failed);
  const boost::json::object* object = failed ? nullptr : parsed.if_object();
  const boost::json::value* version = object == nullptr ? nullptr : object->if_contains("version");
  return version != nullptr && version->is_string() ? std::string(version->get_string()) : kNone;
}

// What npm needs to reach its registry the way this host does.
std::vector<std::string> npm_environment() {
  std::vector<std::string> env = {"HOME=/tmp", "LANG=C.UTF-8"};
  add_variables(env, wire::kNpmVariables);
  add_variables(env, wire::kProxyVariables);
  return env;
}

}  // namespace

std::string node_toolchain() { return node_version() + " " + npm_version(); }

bool may_need_packages(const model::FunctionSpec& spec) {
  return !spec.image.written() && (spec.runtime == "node" || spec.runtime == "http" || spec.runtime == "lambda");
}

base::Result<std::vector<std::string>> npmrc_variables(std::string_view npmrc) {
  constexpr std::string_view kName = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  std::vector<std::string> names;
  for (auto at = npmrc.find("${"); at != std::string_view::npos; at = npmrc.find("${", at + 2)) {
    const std::size_t end = std::min(npmrc.find_first_not_of(kName, at + 2), npmrc.size());
    const std::string_view name = npmrc.substr(at + 2, end - at - 2);
    if (name.empty() || !npmrc.substr(end).starts_with('}') || name[0] < 'A' || name[0] > 'Z') continue;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
    if (names.size() > limits::kNpmrcVariables) {
      return base::invalid_argument(".npmrc names more than " + std::to_string(limits::kNpmrcVariables) +
                                    " variables: a token for each registry is enough");
    }
  }
  return names;
}

std::string npmrc_secret(std::string_view variable) {
  std::string name(variable);
  for (char& c : name) c = c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return name;
}

std::string npmrc_entry(std::string_view variable, std::string_view value) {
  return "EBB_NPMRC_" + std::string(variable) + "=" + std::string(value);
}

wire::Build npm_layer_build(const model::Config& config, std::string source_key, std::string below, std::string key) {
  const bool host_network = config.build_network == model::BuildNetwork::kHost;
  wire::Build build{.source_key = std::move(source_key),
                    .layer_key = std::move(below),
                    .output = wire::TreeKind::kLayer,
                    .output_key = std::move(key),
                    .host_network = host_network,
                    .argv = {config.python, "-I", "-S", "-B", kInstall},
                    .env = npm_environment()};
  if (!host_network) build.env.push_back("EBB_NETWORK=none");
  return build;
}

}  // namespace ebb::node
