#include "model/function_spec.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <cmath>

#include "base/limits.h"
#include "base/limits_access.h"
#include "model/json_fields.h"
#include "model/names.h"

namespace ebb::model {
namespace {

namespace json = boost::json;

bool is_handler(std::string_view text) {
  if (text.size() > limits::kHandlerBytes || text.find('.') == std::string_view::npos) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_identifier(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_line(std::string_view text, std::size_t bytes_max) {
  return text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' ' && c != 0x7f; });
}

// FILE.FUNCTION, FILE within the package and without its ending.
bool is_node_handler(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  if (text.size() > limits::kHandlerBytes || dot == std::string_view::npos) return false;
  const std::string_view file = text.substr(0, dot);
  const auto may_be_there = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
  };
  return !file.empty() && file.front() != '/' && file.back() != '/' && file.find("..") == std::string_view::npos &&
         std::all_of(file.begin(), file.end(), may_be_there) && is_identifier(text.substr(dot + 1));
}

// What only a program has: a command, and an image to find it in.
std::optional<Violation> program_violation(const FunctionSpec& spec) {
  if (spec.image.written()) {
    return Violation{"runtime", "is " + spec.runtime +
                                    ", an image's program is started as it is: write runtime: http (it listens on "
                                    "$PORT) or runtime: lambda (it speaks the Lambda Runtime API)"};
  }
  if (!spec.command.empty()) {
    return Violation{"command",
                     "is for the runtimes http and lambda, " + spec.runtime + " calls the handler: leave it out"};
  }
  return std::nullopt;
}

std::optional<Violation> python_violation(const FunctionSpec& spec) {
  if (auto violation = program_violation(spec)) return violation;
  if (spec.handler.empty()) return Violation{"handler", "is missing, write it as module.function such as app.handler"};
  if (is_handler(spec.handler)) return std::nullopt;
  return Violation{"handler", "is '" + spec.handler + "', write it as module.function such as app.handler"};
}

std::optional<Violation> node_violation(const FunctionSpec& spec) {
  if (auto violation = program_violation(spec)) return violation;
  if (spec.interface != Interface::kAuto) return Violation{"interface", "is for the runtime python3, leave it out"};
  if (spec.handler.empty()) return Violation{"handler", "is missing, write it as file.function such as index.handler"};
  if (is_node_handler(spec.handler)) return std::nullopt;
  return Violation{"handler", "is '" + spec.handler + "', write it as file.function such as index.handler"};
}

// The path of a shared library within the package; "./" may stand before it.
bool is_library(std::string_view text) {
  if (text.size() > limits::kHandlerBytes || text.empty() || text.front() == '/' || text.back() == '/') return false;
  const std::string around = "/" + std::string(text) + "/";
  return around.find("/../") == std::string::npos && is_line(text, limits::kHandlerBytes);
}

std::optional<Violation> native_violation(const FunctionSpec& spec) {
  if (auto violation = program_violation(spec)) return violation;
  if (spec.interface != Interface::kAuto) return Violation{"interface", "is for the runtime python3, leave it out"};
  if (spec.handler.empty()) return Violation{"handler", "is missing, name the library such as hello.so"};
  if (is_library(spec.handler)) return std::nullopt;
  return Violation{"handler", "is '" + spec.handler + "', write the path of a file of the package such as hello.so"};
}

bool is_model_file(std::string_view text) {
  if (text.size() > limits::kHandlerBytes || !text.ends_with(".onnx") || text.front() == '/') return false;
  const std::string around = "/" + std::string(text) + "/";
  return around.find("/../") == std::string::npos && is_line(text, limits::kHandlerBytes);
}

std::optional<Violation> batch_violation(const FunctionSpec& spec) {
  const Batch& batch = spec.batch;
  if (batch.size < 1 || batch.size > limits::kBatchRows) {
    return Violation{"batch.size", "is " + std::to_string(batch.size) + ", it must be from 1 to " +
                                       std::to_string(limits::kBatchRows)};
  }
  if (batch.window < base::Duration::zero() || batch.window > limits::kBatchWindowMax) {
    return Violation{"batch.window", "is " + base::to_string(batch.window) + ", it must be from 0 to " +
                                         base::to_string(base::Duration(limits::kBatchWindowMax))};
  }
  if (batch.size == 1) return std::nullopt;
  if (spec.isolation == Isolation::kGvisor) {
    return Violation{"batch",
                     "needs several calls in one instance, with isolation: gvisor there is one: leave one out"};
  }
  if (spec.reuse == Reuse::kNever) {
    return Violation{"batch", "needs several calls in one instance, with reuse: never there is one: leave one out"};
  }
  if (spec.concurrency == 1) {
    return Violation{"concurrency", "is 1, with batch it is how many calls come together: raise it or leave it out"};
  }
  return std::nullopt;
}

// A model alone: no code.
std::optional<Violation> model_violation(const FunctionSpec& spec) {
  if (spec.model.empty()) return Violation{"model", "is missing, name the file such as digits.onnx"};
  if (!is_model_file(spec.model)) {
    return Violation{"model", "is '" + spec.model + "', write the path of a file of the package such as digits.onnx"};
  }
  const std::string needless = "is not for a model, which has no code: leave it out, or leave model out";
  if (!spec.handler.empty()) return Violation{"handler", needless};
  if (!spec.command.empty()) return Violation{"command", needless};
  if (spec.image.written()) return Violation{"image", needless};
  if (spec.interface != Interface::kAuto) return Violation{"interface", needless};
  return batch_violation(spec);
}

// A program of the user's (http, lambda), or an image that has one.
std::optional<Violation> program_entry_violation(const FunctionSpec& spec) {
  if (spec.interface != Interface::kAuto) return Violation{"interface", "is for the runtime python3, leave it out"};
  if (!is_line(spec.command, limits::kCommandBytes)) {
    return Violation{"command", "must be one line of at most " + std::to_string(limits::kCommandBytes) + " bytes"};
  }
  if (!is_line(spec.handler, limits::kHandlerBytes)) {
    return Violation{"handler", "must be one line of at most " + std::to_string(limits::kHandlerBytes) + " bytes"};
  }
  if (spec.image.written()) {
    if (auto wrong = image_violation(spec.image)) return Violation{"image", std::move(*wrong)};
    if (spec.isolation == Isolation::kGvisor)
      return Violation{"isolation", "is gvisor, which runs no images: leave one out"};
  }
  if (spec.runtime == "lambda") return std::nullopt;
  if (spec.contract == Contract::kFc) {
    if (spec.isolation != Isolation::kGvisor) return std::nullopt;
    return Violation{"isolation", "is gvisor, where there is no contract: fc; leave one of them out"};
  }
  if (!spec.handler.empty()) {
    return Violation{"handler",
                     "is not for the runtime http, its program takes every request: leave it out, or add contract: fc"};
  }
  if (!spec.command.empty() || spec.image.written()) return std::nullopt;
  return Violation{"command", "is missing, write what starts the server such as gunicorn -b 127.0.0.1:$PORT app:app"};
}

std::optional<Violation> contract_violation(const FunctionSpec& spec) {
  if (spec.contract == Contract::kFc && spec.runtime != "http") {
    return Violation{"contract", "is fc, which is for the runtime http, this one is " + spec.runtime};
  }
  if (spec.contract != Contract::kFc && spec.lifecycle != Lifecycle{}) {
    return Violation{"lifecycle", "is for contract: fc, leave it out or add that"};
  }
  if (auto wrong = first_violation(spec.lifecycle)) {
    return Violation{"lifecycle." + std::string(wrong->key), std::move(wrong->message)};
  }
  return std::nullopt;
}

std::optional<Violation> prefix_violation(const FunctionSpec& spec) {
  if (spec.prefix == Prefix::kStrip || spec.runtime == "http") return std::nullopt;
  return Violation{"prefix", "is keep, which is for the runtime http, this one is " + spec.runtime + ": leave it out"};
}

// What the function is started by, according to its runtime.
std::optional<Violation> entry_violation(const FunctionSpec& spec) {
  if (spec.runtime == "model") return model_violation(spec);
  if (!spec.model.empty()) {
    return Violation{
        "model", "is for functions without code, this one is of runtime " + spec.runtime + ": leave one of them out"};
  }
  if (spec.batch != Batch{}) return Violation{"batch", "is for functions that are a model, leave it out"};
  if (spec.runtime == "python3") return python_violation(spec);
  if (spec.runtime == "node") return node_violation(spec);
  if (spec.runtime == "native") return native_violation(spec);
  if (spec.runtime == "http" || spec.runtime == "lambda") return program_entry_violation(spec);
  return Violation{"runtime",
                   "is '" + spec.runtime + "', the runtimes are python3, node, native, http, lambda and model"};
}

std::optional<Violation> env_violation(const std::map<std::string, std::string>& env) {
  std::size_t total = 0;
  for (const auto& [name, value] : env) {
    total += name.size() + value.size();
    if (!is_identifier(name)) {
      return Violation{"env." + name, "is not an environment variable's name, use letters, digits and underscores"};
    }
    if (name.starts_with("EBB_") || name.starts_with("LD_")) {
      return Violation{"env." + name, "is reserved, names beginning with EBB_ or LD_ belong to the platform"};
    }
    if (value.find('\0') != std::string::npos) return Violation{"env." + name, "holds a NUL character"};
  }
  if (total <= limits::kEnvBytes) return std::nullopt;
  return Violation{"env", "has " + std::to_string(total) + " bytes of names and values, the limit is " +
                              std::to_string(limits::kEnvBytes) + ": put large values into the package"};
}

std::optional<Violation> secrets_violation(const FunctionSpec& spec) {
  if (spec.secrets.size() > limits::kSecretsPerFunction) {
    return Violation{"secrets", "has " + std::to_string(spec.secrets.size()) + " secrets, the limit is " +
                                    std::to_string(limits::kSecretsPerFunction)};
  }
  for (const auto& [name, secret] : spec.secrets) {
    if (!is_identifier(name) || name.size() > 64) {
      return Violation{"secrets." + name, "is not an environment variable's name, use letters, digits and underscores"};
    }
    if (name.starts_with("EBB_") || name.starts_with("LD_")) {
      return Violation{"secrets." + name, "is reserved, names beginning with EBB_ or LD_ belong to the platform"};
    }
    if (spec.env.contains(name)) return Violation{"secrets." + name, "stands in env too, keep one of the two"};
    if (!is_name(secret)) {
      return Violation{"secrets." + name, "is '" + secret +
                                              "', a secret's name has lower-case letters, digits and "
                                              "inner dashes, such as db-password"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> size_violation(const FunctionSpec& spec) {
  const auto memory_min = base::Bytes{limits::kFunctionMemoryBytesMin};
  const auto memory_max = base::Bytes{limits::kFunctionMemoryBytesMax};
  if (spec.memory < memory_min || spec.memory > memory_max) {
    return Violation{"memory", "is " + base::to_string(spec.memory) + ", it must be from " +
                                   base::to_string(memory_min) + " to " + base::to_string(memory_max)};
  }
  if (spec.cpu_millis < limits::kFunctionCpuMillisMin || spec.cpu_millis > limits::kFunctionCpuMillisMax) {
    return Violation{"cpu", "must be from 0.05 to 64 cores"};
  }
  if (const auto wrong = first_violation(spec.scale)) return Violation{"scale." + wrong->key, wrong->message};
  return std::nullopt;
}

// A server of the user's own says how many requests it serves at once; of Ebb's runtimes those serve several in which a
// call that waits lets others go on.
std::optional<Violation> concurrency_violation(const FunctionSpec& spec) {
  const std::string is = "is " + std::to_string(spec.concurrency);
  if (spec.concurrency < 1 || spec.concurrency > limits::kCallsPerInstance) {
    return Violation{"concurrency", is + ", it must be from 1 to " + std::to_string(limits::kCallsPerInstance)};
  }
  if (spec.concurrency == 1) return std::nullopt;
  if (spec.runtime == "model" && spec.batch.size == 1) {
    return Violation{"concurrency",
                     is + ", a model without batch runs 1 call at a time: add batch, or raise scale.max"};
  }
  if (spec.runtime == "python3" && (spec.interface == Interface::kEvent || spec.interface == Interface::kWsgi)) {
    return Violation{"concurrency", is + ", with interface: " + std::string(name_of(spec.interface)) +
                                        " an instance runs 1 call at a time: raise scale.max instead, or name an ASGI "
                                        "application"};
  }
  if (spec.runtime == "lambda" || spec.runtime == "native") {
    return Violation{"concurrency", is + ", runtime " + spec.runtime +
                                        " runs 1 invocation at a time in an instance: raise scale.max instead"};
  }
  if (spec.isolation == Isolation::kGvisor) {
    return Violation{"concurrency", is + ", with isolation: gvisor an instance serves 1: raise scale.max instead"};
  }
  if (spec.reuse == Reuse::kNever) {
    return Violation{"concurrency", is + ", with reuse: never an instance serves 1: leave one of them out"};
  }
  return std::nullopt;
}

std::optional<Violation> network_violation(const FunctionSpec& spec) {
  if (spec.isolation == Isolation::kGvisor && spec.network == Network::kEgress) {
    return Violation{"network", "is egress, which isolation: gvisor has not; leave one of them out"};
  }
  if (spec.egress.empty()) return std::nullopt;
  if (spec.network != Network::kEgress) return Violation{"network", "is none and has an allow-list, leave one out"};
  if (spec.egress.size() <= limits::kEgressRules) return std::nullopt;
  return Violation{"network", "has " + std::to_string(spec.egress.size()) + " entries in egress, the limit is " +
                                  std::to_string(limits::kEgressRules) + ": name ranges instead of addresses"};
}

std::optional<Violation> time_violation(const FunctionSpec& spec) {
  constexpr base::Duration kMin = std::chrono::milliseconds(1);
  constexpr base::Duration kMax = limits::kFunctionTimeoutMax;
  if (spec.timeout < kMin || spec.timeout > kMax) {
    return Violation{"timeout", "is " + base::to_string(spec.timeout) + ", it must be from " + base::to_string(kMin) +
                                    " to " + base::to_string(kMax)};
  }
  if (spec.idle_timeout < base::Duration::zero() || spec.idle_timeout > kMax) {
    return Violation{"idle_timeout",
                     "is " + base::to_string(spec.idle_timeout) + ", it must be from 0 to " + base::to_string(kMax)};
  }
  if (spec.max_wait < base::Duration::zero() || spec.max_wait > limits::kQueueTimeout) {
    return Violation{"max_wait", "is " + base::to_string(spec.max_wait) + ", it must be from 0 to " +
                                     base::to_string(limits::kQueueTimeout)};
  }
  return std::nullopt;
}

std::optional<Violation> async_violation(const FunctionSpec& spec) {
  auto wrong = first_violation(spec.async);
  if (!wrong) return std::nullopt;
  return Violation{"async." + std::string(wrong->key), std::move(wrong->message)};
}

// A model has no code to tell of a time; what takes requests is told by one.
std::optional<Violation> timers_violation(const FunctionSpec& spec) {
  if (auto wrong = first_violation(spec.timers)) return Violation{"timers" + wrong->key, std::move(wrong->message)};
  if (spec.timers.empty()) return std::nullopt;
  if (spec.runtime == "model") return Violation{"timers", "is for functions with code, a model has none: leave it out"};
  const bool takes_requests = (spec.runtime == "http" && spec.contract == Contract::kPlain) ||
                              (spec.runtime == "python3" && spec.interface != Interface::kEvent);
  for (std::size_t at = 0; at < spec.timers.size() && !takes_requests; ++at) {
    if (spec.timers[at].path.empty()) continue;
    return Violation{"timers[" + std::to_string(at) + "].path",
                     "is for web servers and applications, this is a handler, which gets the event: leave it out"};
  }
  return std::nullopt;
}

base::Result<void> read_sizes(const json::object& object, FunctionSpec& spec) {
  std::string memory;
  EBB_CHECKED(read_field(object, "memory", memory));
  if (!memory.empty()) {
    const auto bytes = base::parse_bytes(memory);
    if (!bytes) return field_error("memory", bytes.error().message);
    spec.memory = *bytes;
  }
  if (const json::value* cpu = object.if_contains("cpu")) {
    boost::system::error_code ec;
    const double cores = cpu->to_number<double>(ec);
    if (ec || !(cores >= 0 && cores <= 1e6)) return field_error("cpu", "must be a number of cores");
    spec.cpu_millis = static_cast<std::uint32_t>(std::lround(cores * 1000));
  }
  if (const json::value* scale = object.if_contains("scale")) {
    if (!scale->is_object()) return field_error("scale", "must be an object");
    EBB_TRY(spec.scale, scale_from_json(scale->get_object()));
  }
  return {};
}

base::Result<void> read_batch(const json::object& object, Batch& batch) {
  const json::value* value = object.if_contains("batch");
  if (value == nullptr) return {};
  if (!value->is_object()) return field_error("batch", "must be an object");
  EBB_CHECKED(read_field(value->get_object(), "size", batch.size));
  return read_field(value->get_object(), "window", batch.window);
}

json::value network_to_json(const FunctionSpec& spec) {
  if (spec.egress.empty()) return json::value(std::string(name_of(spec.network)));
  json::array rules;
  for (const EgressRule& rule : spec.egress) rules.emplace_back(to_string(rule));
  return json::object{{"egress", std::move(rules)}};
}

// A word of an enumeration. `words` lists them for the error.
template <typename Enum>
base::Result<void> read_word(const json::object& object, std::string_view key,
                             std::optional<Enum> (*named)(std::string_view), std::string_view words, Enum& out) {
  std::string name(name_of(out));
  EBB_CHECKED(read_field(object, key, name));
  const auto known = named(name);
  if (!known) return field_error(key, "must be " + std::string(words));
  out = *known;
  return {};
}

base::Result<void> read_network(const json::object& object, FunctionSpec& spec) {
  const json::value* value = object.if_contains("network");
  if (value != nullptr && value->is_object()) {
    const json::value* rules = value->get_object().if_contains("egress");
    if (rules == nullptr || !rules->is_array())
      return field_error("network", "must be none, egress or {egress: [...]}");
    spec.network = Network::kEgress;
    for (const json::value& rule : rules->get_array()) {
      if (!rule.is_string()) return field_error("network", "must hold strings in egress");
      const auto parsed = parse_egress_rule(rule.get_string());
      if (!parsed) return field_error("network", parsed.error().message);
      spec.egress.push_back(*parsed);
    }
    return {};
  }
  return read_word(object, "network", network_named, "none or egress", spec.network);
}

}  // namespace

std::string_view name_of(Reuse reuse) { return reuse == Reuse::kNever ? "never" : "always"; }

std::optional<Reuse> reuse_named(std::string_view name) {
  if (name == "always") return Reuse::kAlways;
  if (name == "never") return Reuse::kNever;
  return std::nullopt;
}

std::string_view name_of(Interface interface) {
  switch (interface) {
    case Interface::kEvent: return "event";
    case Interface::kWsgi: return "wsgi";
    case Interface::kAsgi: return "asgi";
    case Interface::kAuto: break;
  }
  return "auto";
}

std::optional<Interface> interface_named(std::string_view name) {
  for (const Interface interface : {Interface::kAuto, Interface::kEvent, Interface::kWsgi, Interface::kAsgi}) {
    if (name == name_of(interface)) return interface;
  }
  return std::nullopt;
}

std::string_view name_of(Network network) { return network == Network::kEgress ? "egress" : "none"; }

std::string_view name_of(Isolation isolation) { return isolation == Isolation::kGvisor ? "gvisor" : "namespaces"; }

std::optional<Isolation> isolation_named(std::string_view name) {
  if (name == "namespaces") return Isolation::kNamespaces;
  if (name == "gvisor") return Isolation::kGvisor;
  return std::nullopt;
}

std::optional<Network> network_named(std::string_view name) {
  if (name == "none") return Network::kNone;
  if (name == "egress") return Network::kEgress;
  return std::nullopt;
}

std::string_view name_of(Prefix prefix) { return prefix == Prefix::kKeep ? "keep" : "strip"; }

std::optional<Prefix> prefix_named(std::string_view name) {
  if (name == "strip") return Prefix::kStrip;
  if (name == "keep") return Prefix::kKeep;
  return std::nullopt;
}

std::string_view name_of(Auth auth) {
  switch (auth) {
    case Auth::kNone: return "none";
    case Auth::kKey: return "key";
    case Auth::kNode: break;
  }
  return "node";
}

std::optional<Auth> auth_named(std::string_view name) {
  for (const Auth auth : {Auth::kNode, Auth::kNone, Auth::kKey}) {
    if (name == name_of(auth)) return auth;
  }
  return std::nullopt;
}

bool listens(const FunctionSpec& spec) {
  // On a kernel of its own it has no network that anybody else could connect to.
  if (spec.isolation == Isolation::kGvisor) return false;
  return spec.runtime == "http" || (spec.runtime == "model" && spec.batch.size > 1);
}

std::optional<Violation> first_violation(const FunctionSpec& spec) {
  if (const auto named = check_name("function", spec.name); !named) return Violation{"", named.error().message};
  if (auto violation = entry_violation(spec)) return violation;
  if (auto violation = contract_violation(spec)) return violation;
  if (auto violation = prefix_violation(spec)) return violation;
  if (auto violation = size_violation(spec)) return violation;
  if (auto violation = time_violation(spec)) return violation;
  if (auto violation = async_violation(spec)) return violation;
  if (auto violation = timers_violation(spec)) return violation;
  if (auto violation = concurrency_violation(spec)) return violation;
  if (auto violation = network_violation(spec)) return violation;
  if (auto violation = secrets_violation(spec)) return violation;
  return env_violation(spec.env);
}

json::object to_json(const FunctionSpec& spec) {
  json::object env;
  for (const auto& [name, value] : spec.env) env.emplace(name, value);
  json::object secrets;
  for (const auto& [name, secret] : spec.secrets) secrets.emplace(name, secret);
  json::object object{
      {"name", spec.name},
      {"runtime", spec.runtime},
      {"handler", spec.handler},
      {"command", spec.command},
      {"model", spec.model},
      {"batch", json::object{{"size", spec.batch.size}, {"window", base::to_string(spec.batch.window)}}},
      {"contract", std::string(name_of(spec.contract))},
      {"lifecycle", to_json(spec.lifecycle)},
      {"prefix", std::string(name_of(spec.prefix))},
      {"interface", std::string(name_of(spec.interface))},
      {"memory", base::to_string(spec.memory)},
      {"cpu", static_cast<double>(spec.cpu_millis) / 1000},
      {"timeout", base::to_string(spec.timeout)},
      {"concurrency", spec.concurrency},
      {"scale", to_json(spec.scale)},
      {"reuse", std::string(name_of(spec.reuse))},
      {"idle_timeout", base::to_string(spec.idle_timeout)},
      {"max_wait", base::to_string(spec.max_wait)},
      {"async", to_json(spec.async)},
      {"env", std::move(env)},
      {"secrets", std::move(secrets)},
      {"network", network_to_json(spec)},
      {"isolation", std::string(name_of(spec.isolation))},
      {"auth", std::string(name_of(spec.auth))},
  };
  if (spec.image.written()) object.emplace("image", to_json(spec.image));
  if (spec.timers.empty()) return object;
  json::array timers;
  for (const Timer& timer : spec.timers) timers.push_back(to_json(timer));
  object.emplace("timers", std::move(timers));
  return object;
}

base::Result<FunctionSpec> function_spec_from_json(const json::object& object) {
  FunctionSpec spec;
  EBB_CHECKED(read_field(object, "name", spec.name));
  EBB_CHECKED(read_field(object, "runtime", spec.runtime));
  EBB_CHECKED(read_field(object, "handler", spec.handler));
  EBB_CHECKED(read_field(object, "command", spec.command));
  EBB_CHECKED(read_field(object, "model", spec.model));
  EBB_CHECKED(read_batch(object, spec.batch));
  EBB_CHECKED(read_word(object, "contract", contract_named, "plain or fc", spec.contract));
  if (const json::value* lifecycle = object.if_contains("lifecycle")) {
    if (!lifecycle->is_object()) return field_error("lifecycle", "must be an object");
    EBB_TRY(spec.lifecycle, lifecycle_from_json(lifecycle->get_object()));
  }
  EBB_CHECKED(read_word(object, "prefix", prefix_named, "strip or keep", spec.prefix));
  EBB_CHECKED(read_word(object, "interface", interface_named, "auto, event, wsgi or asgi", spec.interface));
  EBB_CHECKED(read_sizes(object, spec));
  EBB_CHECKED(read_field(object, "timeout", spec.timeout));
  EBB_CHECKED(read_field(object, "concurrency", spec.concurrency));
  EBB_CHECKED(read_field(object, "idle_timeout", spec.idle_timeout));
  EBB_CHECKED(read_field(object, "max_wait", spec.max_wait));
  if (const json::value* async = object.if_contains("async")) {
    if (!async->is_object()) return field_error("async", "must be an object");
    EBB_TRY(spec.async, async_terms_from_json(async->get_object()));
  }
  if (const json::value* timers = object.if_contains("timers")) {
    EBB_TRY(spec.timers, timers_from_json(*timers));
  }
  EBB_CHECKED(read_network(object, spec));
  EBB_CHECKED(read_word(object, "reuse", reuse_named, "always or never", spec.reuse));
  EBB_CHECKED(read_word(object, "isolation", isolation_named, "namespaces or gvisor", spec.isolation));
  EBB_CHECKED(read_field(object, "env", spec.env));
  EBB_CHECKED(read_field(object, "secrets", spec.secrets));
  EBB_CHECKED(read_word(object, "auth", auth_named, "none, key or node", spec.auth));
  if (const json::value* image = object.if_contains("image")) {
    if (!image->is_object()) return field_error("image", "must be an object");
    EBB_TRY(spec.image, image_from_json(image->get_object()));
  }
  if (const auto violation = first_violation(spec)) return field_error(violation->field, violation->message);
  return spec;
}

}  // namespace ebb::model
