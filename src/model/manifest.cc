#include "model/manifest.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <charconv>

#include "base/limits.h"
#include "model/names.h"
#include "model/time_zone.h"
#include "model/yaml_json.h"
#include "model/yaml_tree.h"

namespace ebb::model {
namespace {

using Kind = YamlNode::Kind;

constexpr std::array<std::string_view, 6> kManifestKeys = {"app",     "build",         "network",
                                                           "reserve", "max_instances", "functions"};
constexpr std::array<std::string_view, 25> kFunctionKeys = {
    "model",    "batch", "runtime",  "handler",      "command", "memory", "cpu",     "timeout",   "concurrency",
    "scale",    "reuse", "env",      "idle_timeout", "network", "auth",   "secrets", "isolation", "interface",
    "max_wait", "image", "contract", "lifecycle",    "async",   "prefix", "timers"};
// In the order of the enumerators.
constexpr std::array<std::string_view, 4> kInterfaces = {"auto", "event", "wsgi", "asgi"};
constexpr std::array<std::string_view, 4> kScaleKeys = {"min", "max", "reserve", "windows"};
constexpr std::array<std::string_view, 4> kWindowKeys = {"from", "for", "min", "zone"};
constexpr std::array<std::string_view, 2> kBatchKeys = {"size", "window"};
constexpr std::array<std::string_view, 2> kLifecycleKeys = {"initialize", "pre_stop"};
constexpr std::array<std::string_view, 3> kAsyncKeys = {"retries", "retry_after", "max_age"};
constexpr std::array<std::string_view, 5> kTimerKeys = {"cron", "zone", "every", "event", "path"};
constexpr std::array<std::string_view, 1> kNetworkKeys = {"egress"};

// Cores as a decimal fraction, exactly: "1", "0.5" or "1.25" in thousandths.
base::Result<void> read_cpu(const YamlMap& map, std::uint32_t& cpu_millis) {
  if (map.find("cpu") == nullptr) return {};
  std::string text;
  EBB_CHECKED(map.read("cpu", text));
  const auto bad = [&] {
    return map.error_at("cpu", "is '" + text + "', write cores like 1 or 0.5, at most 3 decimals");
  };
  const std::string_view view = text;
  const auto dot = view.find('.');
  const std::string_view whole = view.substr(0, dot);
  std::string thousandths(dot == std::string_view::npos ? "" : view.substr(dot + 1));
  if (thousandths.size() > 3 || (dot != std::string_view::npos && thousandths.empty())) return bad();
  thousandths.resize(3, '0');
  const std::string digits = std::string(whole) + thousandths;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), cpu_millis);
  if (whole.empty() || ec != std::errc{} || end != digits.data() + digits.size()) return bad();
  return {};
}

// Asked here only: what is kept stays readable on a machine that has lost the zone.
base::Result<void> read_zone(const YamlMap& map, std::string& zone) {
  EBB_CHECKED(map.read("zone", zone));
  if (const auto known = TimeZone::named(zone); !known) return map.error_at("zone", known.error().message);
  return {};
}

base::Result<void> read_windows(const YamlMap& map, std::vector<ScaleWindow>& windows) {
  const YamlNode* node = map.find("windows");
  if (node == nullptr) return {};
  if (node->kind != Kind::kList) {
    return map.error_at("windows", "must be a list like [{from: 0 8 * * mon-fri, for: 10h, min: 5}]");
  }
  for (const YamlNode& item : node->items) {
    const std::string path = map.path_of("windows[" + std::to_string(windows.size()) + "]");
    EBB_TRY(const YamlMap inner, YamlMap::open(item, path, kWindowKeys));
    for (const std::string_view key : {"from", "for", "min"}) {
      if (inner.find(key) == nullptr) return inner.error_at(key, "is missing, a window has from, for and min");
    }
    ScaleWindow& window = windows.emplace_back();
    EBB_CHECKED(inner.read("from", window.from));
    EBB_CHECKED(inner.read("for", window.length));
    EBB_CHECKED(inner.read("min", window.min));
    EBB_CHECKED(read_zone(inner, window.zone));
  }
  return {};
}

base::Result<void> read_scale(const YamlMap& map, Scale& scale) {
  const YamlNode* node = map.find("scale");
  if (node == nullptr) return {};
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, map.path_of("scale"), kScaleKeys));
  EBB_CHECKED(inner.read("min", scale.min));
  const bool max_given = inner.find("max") != nullptr;
  EBB_CHECKED(inner.read("max", scale.max));
  EBB_CHECKED(inner.read("reserve", scale.reserve));
  EBB_CHECKED(read_windows(inner, scale.windows));
  // A minimum above the default maximum means that many, not an error about a number nobody wrote.
  std::uint32_t most = std::max(scale.min, scale.reserve);
  for (const ScaleWindow& window : scale.windows) most = std::max(most, window.min);
  if (!max_given) scale.max = std::max(scale.max, most);
  return {};
}

base::Result<void> read_batch(const YamlMap& map, FunctionSpec& spec) {
  const YamlNode* node = map.find("batch");
  if (node == nullptr) return {};
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, map.path_of("batch"), kBatchKeys));
  EBB_CHECKED(inner.read("size", spec.batch.size));
  EBB_CHECKED(inner.read("window", spec.batch.window));
  // As many calls as two batches of one row: while one runs the next comes together.
  const bool several = spec.batch.size > 1 && spec.batch.size <= limits::kBatchRows;
  if (several && map.find("concurrency") == nullptr) {
    spec.concurrency = std::min(2 * spec.batch.size, limits::kCallsPerInstance);
  }
  return {};
}

base::Result<void> read_lifecycle(const YamlMap& map, Lifecycle& lifecycle) {
  const YamlNode* node = map.find("lifecycle");
  if (node == nullptr) return {};
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, map.path_of("lifecycle"), kLifecycleKeys));
  EBB_CHECKED(inner.read("initialize", lifecycle.initialize));
  return inner.read("pre_stop", lifecycle.pre_stop);
}

base::Result<void> read_async(const YamlMap& map, AsyncTerms& terms) {
  const YamlNode* node = map.find("async");
  if (node == nullptr) return {};
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, map.path_of("async"), kAsyncKeys));
  EBB_CHECKED(inner.read("retries", terms.retries));
  EBB_CHECKED(inner.read("retry_after", terms.retry_after));
  return inner.read("max_age", terms.max_age);
}

// The rules are told here, where the line of each is known.
base::Result<void> read_timers(const YamlMap& map, std::vector<Timer>& timers) {
  const YamlNode* node = map.find("timers");
  if (node == nullptr) return {};
  if (node->kind != Kind::kList) {
    return map.error_at("timers", "must be a list like [{cron: 0 7 * * mon-fri}] or [{every: 30s}]");
  }
  for (const YamlNode& item : node->items) {
    const std::string path = map.path_of("timers[" + std::to_string(timers.size()) + "]");
    EBB_TRY(const YamlMap inner, YamlMap::open(item, path, kTimerKeys));
    Timer& timer = timers.emplace_back();
    EBB_CHECKED(inner.read("cron", timer.cron));
    EBB_CHECKED(read_zone(inner, timer.zone));
    EBB_CHECKED(inner.read("every", timer.every));
    EBB_CHECKED(inner.read("path", timer.path));
    if (const YamlNode* event = inner.find("event")) {
      EBB_TRY(const boost::json::value value, json_of(*event, inner.path_of("event")));
      timer.event = kept_event(value);
    }
    // "timers[2].cron" is at the key's line, "timers[2]" at the timer's.
    if (const auto wrong = first_violation(timers)) {
      const auto dot = wrong->key.rfind('.');
      const int line = dot == std::string::npos ? item.line : inner.line_of(wrong->key.substr(dot + 1));
      return yaml_error(line, map.path_of("timers" + wrong->key), wrong->message);
    }
  }
  return {};
}

base::Result<void> read_texts(const YamlMap& map, std::string_view key, std::map<std::string, std::string>& texts) {
  const YamlNode* node = map.find(key);
  if (node == nullptr || node->kind == Kind::kNull) return {};
  const std::string path = map.path_of(key);
  const std::vector<std::string_view> any(node->keys.begin(), node->keys.end());
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, path, any));
  for (const std::string& name : node->keys) EBB_CHECKED(inner.read(name, texts[name]));
  return {};
}

// A word of an enumeration. `expected` lists the words for who wrote another.
template <typename Enum>
base::Result<void> read_word(const YamlMap& map, std::string_view key, std::optional<Enum> (*named)(std::string_view),
                             std::string_view expected, Enum& out) {
  std::string name(name_of(out));
  EBB_CHECKED(map.read(key, name));
  const auto known = named(name);
  if (!known) return map.error_at(key, "is '" + name + "', expected " + std::string(expected));
  out = *known;
  return {};
}

/// What a function, or the app for all of its functions, says of the network.
struct NetworkWish {
  Network network = Network::kNone;
  std::vector<EgressRule> egress;
};

// "none", "egress", or {egress: [where, ...]}.
base::Result<void> read_network(const YamlMap& map, NetworkWish& wish) {
  const YamlNode* node = map.find("network");
  if (node == nullptr) return {};
  wish = {};
  if (node->kind != Kind::kMap) {
    return read_word(map, "network", network_named, "none or egress, or {egress: [HOST, ...]}", wish.network);
  }
  EBB_TRY(const YamlMap inner, YamlMap::open(*node, map.path_of("network"), kNetworkKeys));
  const YamlNode* list = inner.find("egress");
  if (list == nullptr || list->kind != Kind::kList || list->items.empty()) {
    return inner.error_at("egress",
                          "must be a list of hosts, addresses or ranges; write network: egress for every public "
                          "address, network: none for nothing");
  }
  wish.network = Network::kEgress;
  for (const YamlNode& item : list->items) {
    if (item.kind != Kind::kScalar) {
      return yaml_error(item.line, inner.path_of("egress"), "holds something else than a host, an address or a range");
    }
    const auto rule = parse_egress_rule(item.scalar);
    if (!rule) return yaml_error(item.line, inner.path_of("egress"), rule.error().message);
    wish.egress.push_back(*rule);
  }
  return {};
}

// The line of a violated field: of "scale.max" if written, else of "scale", else of the function.
int line_of_field(const YamlMap& map, const YamlNode& node, std::string_view field) {
  const auto dot = field.find('.');
  const std::string_view key = field.substr(0, field.find_first_of(".["));
  const YamlNode* child = map.find(key);
  if (child != nullptr && child->kind == Kind::kMap && dot != std::string_view::npos) {
    for (std::size_t i = 0; i < child->keys.size(); ++i) {
      if (child->keys[i] == field.substr(dot + 1)) return child->key_lines[i];
    }
  }
  return child != nullptr ? map.line_of(key) : node.line;
}

base::Result<FunctionSpec> read_function(const std::string& name, int line, const YamlNode& node,
                                         const NetworkWish& of_app) {
  const std::string path = "functions." + name;
  if (const auto named = check_name("function", name); !named) return yaml_error(line, path, named.error().message);
  EBB_TRY(const YamlMap map, YamlMap::open(node, path, kFunctionKeys));
  FunctionSpec spec;
  spec.name = name;
  EBB_CHECKED(map.read("runtime", spec.runtime));
  EBB_CHECKED(map.read("handler", spec.handler));
  EBB_CHECKED(map.read("command", spec.command));
  EBB_CHECKED(map.read("model", spec.model));
  if (map.find("runtime") == nullptr && map.find("model") != nullptr) spec.runtime = "model";
  EBB_CHECKED(map.read("image", spec.image.reference));
  EBB_CHECKED(read_word(map, "contract", contract_named, "plain or fc", spec.contract));
  EBB_CHECKED(read_lifecycle(map, spec.lifecycle));
  EBB_CHECKED(read_word(map, "prefix", prefix_named, "strip or keep", spec.prefix));
  EBB_CHECKED(map.read("interface", kInterfaces, spec.interface));
  EBB_CHECKED(map.read("memory", spec.memory));
  EBB_CHECKED(read_cpu(map, spec.cpu_millis));
  EBB_CHECKED(map.read("timeout", spec.timeout));
  EBB_CHECKED(map.read("concurrency", spec.concurrency));
  EBB_CHECKED(read_batch(map, spec));
  EBB_CHECKED(read_scale(map, spec.scale));
  EBB_CHECKED(map.read("idle_timeout", spec.idle_timeout));
  EBB_CHECKED(map.read("max_wait", spec.max_wait));
  EBB_CHECKED(read_async(map, spec.async));
  EBB_CHECKED(read_timers(map, spec.timers));
  NetworkWish wish = of_app;
  EBB_CHECKED(read_network(map, wish));
  spec.network = wish.network;
  spec.egress = std::move(wish.egress);
  EBB_CHECKED(read_word(map, "reuse", reuse_named, "always or never", spec.reuse));
  EBB_CHECKED(read_word(map, "isolation", isolation_named, "namespaces or gvisor", spec.isolation));
  EBB_CHECKED(read_texts(map, "env", spec.env));
  EBB_CHECKED(read_texts(map, "secrets", spec.secrets));
  EBB_CHECKED(read_word(map, "auth", auth_named, "none, key or node", spec.auth));
  if (const auto violation = first_violation(spec)) {
    return yaml_error(line_of_field(map, node, violation->field), map.path_of(violation->field), violation->message);
  }
  return spec;
}

// The app's bounds beside those of its functions.
base::Result<void> check_app_scale(const YamlMap& map, const Manifest& manifest) {
  std::uint64_t kept = 0;
  std::uint64_t reserved = 0;
  std::uint64_t most = 0;
  for (const FunctionSpec& spec : manifest.functions) {
    std::uint32_t min = spec.scale.min;
    for (const ScaleWindow& window : spec.scale.windows) min = std::max(min, window.min);
    kept += min;
    reserved += spec.scale.reserve;
    most += spec.scale.max;
  }
  const auto [reserve, max_instances] = manifest.scale;
  const std::string is = "is " + std::to_string(max_instances);
  if (map.find("max_instances") != nullptr) {
    if (max_instances == 0)
      return map.error_at("max_instances", is + ", it must be at least 1: leave it out for no bound");
    if (kept > max_instances) {
      return map.error_at("max_instances", is + ", and scale.min of its functions, windows too, keeps " +
                                               std::to_string(kept) + ": raise it or keep fewer");
    }
    if (reserved > max_instances) {
      return map.error_at("max_instances", is + ", and scale.reserve of its functions comes to " +
                                               std::to_string(reserved) + ": raise it or reserve fewer");
    }
    most = std::min<std::uint64_t>(most, max_instances);
  }
  if (reserve <= most) return {};
  return map.error_at("reserve", "is " + std::to_string(reserve) + ", and the app can have " + std::to_string(most) +
                                     " instances at most, by scale.max of its functions and max_instances: raise "
                                     "those or reserve fewer");
}

}  // namespace

base::Result<Manifest> parse_manifest(std::string_view yaml) {
  EBB_TRY(const YamlNode root, parse_yaml(yaml));
  if (root.kind == Kind::kNull) return yaml_error(1, "", "the file is empty, it needs app and functions");
  EBB_TRY(const YamlMap map, YamlMap::open(root, "", kManifestKeys));
  Manifest manifest;
  if (map.find("app") == nullptr) return map.error_at("app", "is missing, name the app such as app: vision");
  EBB_CHECKED(map.read("app", manifest.app));
  if (const auto named = check_name("app", manifest.app); !named) return map.error_at("app", named.error().message);
  EBB_CHECKED(map.read("build", manifest.build));
  EBB_CHECKED(map.read("reserve", manifest.scale.reserve));
  EBB_CHECKED(map.read("max_instances", manifest.scale.max_instances));
  NetworkWish of_app;
  EBB_CHECKED(read_network(map, of_app));
  const YamlNode* functions = map.find("functions");
  if (functions == nullptr) return map.error_at("functions", "is missing, an app has at least one function");
  if (functions->kind != Kind::kMap || functions->items.empty()) {
    return map.error_at("functions", "must be a map of function names to their settings, with at least one");
  }
  if (functions->items.size() > limits::kFunctionsPerApp) {
    return map.error_at("functions", "has " + std::to_string(functions->items.size()) + " functions, the limit is " +
                                         std::to_string(limits::kFunctionsPerApp) + ": make another app");
  }
  for (std::size_t i = 0; i < functions->items.size(); ++i) {
    EBB_TRY(FunctionSpec spec, read_function(functions->keys[i], functions->key_lines[i], functions->items[i], of_app));
    manifest.functions.push_back(std::move(spec));
  }
  EBB_CHECKED(check_app_scale(map, manifest));
  return manifest;
}

}  // namespace ebb::model
