#include "model/config.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>

#include "base/id.h"
#include "base/limits.h"
#include "base/limits_spares.h"
#include "model/yaml_tree.h"

namespace ebb::model {
namespace {

constexpr std::array<std::string_view, 35> kKeys = {"data_dir",
                                                    "listen",
                                                    "user",
                                                    "io_cores",
                                                    "log_level",
                                                    "memory_budget",
                                                    "keep_alive_price",
                                                    "max_instances",
                                                    "max_spares",
                                                    "freeze_after",
                                                    "usage_flush_interval",
                                                    "usage_held_interval",
                                                    "uid_base",
                                                    "python",
                                                    "build_network",
                                                    "pip_only_binary",
                                                    "egress_allow_private",
                                                    "egress_resolvers",
                                                    "egress_ipv4",
                                                    "egress_ipv6",
                                                    "runsc",
                                                    "function_auth",
                                                    "tls_certificate",
                                                    "tls_key",
                                                    "trusted_proxies",
                                                    "price_file",
                                                    "usage_retention_days",
                                                    "registry_auth",
                                                    "insecure_registries",
                                                    "otlp_traces_endpoint",
                                                    "otlp_headers_file",
                                                    "trace_sample_ratio",
                                                    "webhook_url",
                                                    "webhook_secret_file",
                                                    "webhook_usage"};
// In the order of the enumerators.
constexpr std::array<std::string_view, 4> kLogLevels = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 2> kBuildNetworks = {"host", "none"};

constexpr std::uint32_t kUidsPerApp = 65'536;
constexpr std::uint64_t kUidMax = 0xffff'fffe;

// A list of addresses or ranges, each read by `parse`.
template <typename T, typename Parse>
base::Result<void> read_list(const YamlMap& map, std::string_view key, std::size_t most, Parse parse,
                             std::vector<T>& out) {
  const YamlNode* node = map.find(key);
  if (node == nullptr || node->kind == YamlNode::Kind::kNull) return {};
  if (node->kind != YamlNode::Kind::kList || node->items.size() > most) {
    return map.error_at(key, "must be a list of at most " + std::to_string(most) + ", such as [10.20.0.0/16]");
  }
  for (const YamlNode& item : node->items) {
    if (item.kind != YamlNode::Kind::kScalar) return map.error_at(key, "must be a list of plain values");
    const auto value = parse(item.scalar);
    if (!value) return map.error_at(key, value.error().message);
    out.push_back(*value);
  }
  return {};
}

// "registry.example.org:5000"
base::Result<std::string> parse_registry(std::string_view text) {
  const bool plain = !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(".-:[]").find(c) != std::string_view::npos;
  });
  if (!plain) return base::invalid_argument("holds '" + std::string(text) + "', write host or host:port");
  return std::string(text);
}

base::Result<void> read_range(const YamlMap& map, std::string_view key, base::IpRange& out) {
  std::string text = base::to_string(out);
  EBB_CHECKED(map.read(key, text));
  const auto range = base::parse_ip_range(text);
  if (!range) return map.error_at(key, range.error().message);
  out = *range;
  return {};
}

base::Result<void> read_function_auth(const YamlMap& map, Auth& out) {
  std::string text(name_of(out));
  EBB_CHECKED(map.read("function_auth", text));
  const auto auth = auth_named(text);
  if (!auth || *auth == Auth::kNode) return map.error_at("function_auth", "is '" + text + "', expected none or key");
  out = *auth;
  return {};
}

bool is_account(std::string_view text) {
  if (text.empty() || text.size() > 32) return false;
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return std::all_of(text.begin(), text.end(), word) && !(text[0] >= '0' && text[0] <= '9') && text[0] != '-';
}

base::Result<void> check_tls(const YamlMap& map, const Config& config) {
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    const std::string_view missing = config.tls_key.empty() ? "tls_key" : "tls_certificate";
    return map.error_at(missing, "is missing, TLS needs both tls_certificate and tls_key");
  }
  for (const auto& [key, path] :
       {std::pair("tls_certificate", &config.tls_certificate), {"tls_key", &config.tls_key}}) {
    if (!path->empty() && !path->starts_with('/')) return map.error_at(key, "must be an absolute path");
  }
  return {};
}

// The rest of the URL is looked at where it is used.
base::Result<void> check_traces(const YamlMap& map, const Config& config) {
  const std::string_view url = config.otlp_traces_endpoint;
  const std::size_t host = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : std::string_view::npos;
  if (!url.empty() && (host == std::string_view::npos || url.find('/', host) == std::string_view::npos)) {
    return map.error_at("otlp_traces_endpoint",
                        "must be the whole URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318/v1/traces");
  }
  if (!config.otlp_headers_file.empty() && !config.otlp_headers_file.starts_with('/')) {
    return map.error_at("otlp_headers_file", "must be an absolute path");
  }
  return {};
}

base::Result<void> read_ratio(const YamlMap& map, std::string_view key, double& out) {
  std::string text;
  EBB_CHECKED(map.read(key, text));
  if (text.empty()) return {};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc() || end != text.data() + text.size() || !(out >= 0 && out <= 1)) {
    return map.error_at(key, "must be a number from 0 to 1, such as 0.05");
  }
  return {};
}

base::Result<void> check_webhook(const YamlMap& map, const Config& config) {
  if (!config.webhook_secret_file.empty() && !config.webhook_secret_file.starts_with('/')) {
    return map.error_at("webhook_secret_file", "must be an absolute path");
  }
  if (config.webhook_url.empty() != config.webhook_secret_file.empty()) {
    return map.error_at(config.webhook_url.empty() ? "webhook_url" : "webhook_secret_file",
                        "is missing, a webhook needs both webhook_url and webhook_secret_file");
  }
  if (config.webhook_usage && config.webhook_url.empty())
    return map.error_at("webhook_usage", "needs a webhook_url that usage records are posted to");
  return {};
}

base::Result<void> check(const YamlMap& map, const Config& config) {
  if (!config.data_dir.starts_with('/')) return map.error_at("data_dir", "must be an absolute path");
  if (!config.python.starts_with('/')) return map.error_at("python", "must be an absolute path");
  if (!config.registry_auth.empty() && !config.registry_auth.starts_with('/')) {
    return map.error_at("registry_auth", "must be an absolute path");
  }
  EBB_CHECKED(check_tls(map, config));
  EBB_CHECKED(check_traces(map, config));
  EBB_CHECKED(check_webhook(map, config));
  if (!config.price_file.empty() && !config.price_file.starts_with('/'))
    return map.error_at("price_file", "must be an absolute path");
  if (const auto listen = parse_listen(config.listen); !listen) return map.error_at("listen", listen.error().message);
  if (!is_account(config.user)) {
    return map.error_at("user", "is '" + config.user + "', which is not the name of an account such as ebb");
  }
  if (config.io_cores > 256) return map.error_at("io_cores", "must be from 0 (automatic) to 256");
  if (config.memory_budget.count != 0 && config.memory_budget.count < (64ull << 20)) {
    return map.error_at("memory_budget", "must be 0 (automatic) or at least 64Mi");
  }
  if (config.keep_alive_price > 1'000'000) return map.error_at("keep_alive_price", "must be from 0 to 1000000");
  if (config.max_instances < 1 || config.max_instances > 100'000) {
    return map.error_at("max_instances", "must be from 1 to 100000");
  }
  if (config.max_spares > limits::kSparesMax) return map.error_at("max_spares", "must be from 0 to 10000");
  if (config.freeze_after != base::Duration::zero() &&
      (config.freeze_after < std::chrono::milliseconds(100) || config.freeze_after > std::chrono::hours(1))) {
    return map.error_at("freeze_after", "must be 0 (never) or from 100ms to 1h");
  }
  if (config.usage_flush_interval < std::chrono::milliseconds(10) ||
      config.usage_flush_interval > std::chrono::minutes(1)) {
    return map.error_at("usage_flush_interval", "must be from 10ms to 1m");
  }
  if (config.usage_held_interval < std::chrono::seconds(1) || config.usage_held_interval > std::chrono::minutes(10)) {
    return map.error_at("usage_held_interval", "must be from 1s to 10m");
  }
  if (config.usage_retention_days > 36'500) return map.error_at("usage_retention_days", "must be from 0 to 36500");
  if (config.egress_ipv4.first.family != base::IpFamily::kV4 || config.egress_ipv4.prefix > 24) {
    return map.error_at("egress_ipv4", "must be an IPv4 range of at most /24, such as 198.18.0.0/15");
  }
  if (config.egress_ipv6.first.family != base::IpFamily::kV6 || config.egress_ipv6.prefix > 96) {
    return map.error_at("egress_ipv6", "must be an IPv6 range of at most /96, such as fd65:6262::/64");
  }
  const std::uint64_t uid_end = config.uid_base + (limits::kApps + 1) * kUidsPerApp;
  if (config.uid_base < kUidsPerApp || config.uid_base % kUidsPerApp != 0 || uid_end > kUidMax) {
    return map.error_at("uid_base",
                        "must be a multiple of 65536 from 65536 to " +
                            std::to_string((kUidMax - (limits::kApps + 1) * kUidsPerApp) / kUidsPerApp * kUidsPerApp));
  }
  return {};
}

// A double-quoted YAML scalar; JSON's escapes are YAML's.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\x" + base::to_hex(std::string_view(&c, 1));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// The shortest that reads back as the same number.
std::string ratio_text(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

std::string text_of(const std::string& value) { return value; }
template <typename T>
std::string text_of(const T& value) {
  return base::to_string(value);
}

template <typename T>
std::string list_of(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? ", " : "") + quoted(text_of(value));
  return text + "]";
}

}  // namespace

base::Result<ListenAddress> parse_listen(std::string_view text) {
  const auto bad = [&] {
    return base::invalid_argument("is '" + std::string(text) +
                                  "', write address:port such as 127.0.0.1:8080 or [::1]:8080");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad();
  }
  ListenAddress address;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (host.empty() || port.empty() || ec != std::errc{} || end != port.data() + port.size()) return bad();
  address.host = host;
  return address;
}

base::Result<Config> parse_config(std::string_view yaml) {
  EBB_TRY(YamlNode root, parse_yaml(yaml));
  if (root.kind == YamlNode::Kind::kNull) root.kind = YamlNode::Kind::kMap;
  EBB_TRY(const YamlMap map, YamlMap::open(root, "", kKeys));
  Config config;
  EBB_CHECKED(map.read("data_dir", config.data_dir));
  EBB_CHECKED(map.read("listen", config.listen));
  EBB_CHECKED(map.read("user", config.user));
  EBB_CHECKED(map.read("io_cores", config.io_cores));
  EBB_CHECKED(map.read("log_level", kLogLevels, config.log_level));
  EBB_CHECKED(map.read("memory_budget", config.memory_budget));
  EBB_CHECKED(map.read("keep_alive_price", config.keep_alive_price));
  EBB_CHECKED(map.read("max_instances", config.max_instances));
  EBB_CHECKED(map.read("max_spares", config.max_spares));
  EBB_CHECKED(map.read("freeze_after", config.freeze_after));
  EBB_CHECKED(map.read("usage_flush_interval", config.usage_flush_interval));
  EBB_CHECKED(map.read("usage_held_interval", config.usage_held_interval));
  EBB_CHECKED(map.read("uid_base", config.uid_base));
  EBB_CHECKED(map.read("python", config.python));
  EBB_CHECKED(map.read("build_network", kBuildNetworks, config.build_network));
  EBB_CHECKED(map.read("pip_only_binary", config.pip_only_binary));
  EBB_CHECKED(map.read("registry_auth", config.registry_auth));
  EBB_CHECKED(read_list(map, "insecure_registries", 64, parse_registry, config.insecure_registries));
  EBB_CHECKED(read_list(map, "egress_allow_private", 64, base::parse_ip_range, config.egress_allow_private));
  EBB_CHECKED(read_list(map, "egress_resolvers", 3, base::parse_ip, config.egress_resolvers));
  EBB_CHECKED(read_range(map, "egress_ipv4", config.egress_ipv4));
  EBB_CHECKED(read_range(map, "egress_ipv6", config.egress_ipv6));
  EBB_CHECKED(map.read("runsc", config.runsc));
  EBB_CHECKED(map.read("price_file", config.price_file));
  EBB_CHECKED(map.read("usage_retention_days", config.usage_retention_days));
  EBB_CHECKED(map.read("tls_certificate", config.tls_certificate));
  EBB_CHECKED(map.read("tls_key", config.tls_key));
  EBB_CHECKED(read_list(map, "trusted_proxies", 64, base::parse_ip_range, config.trusted_proxies));
  EBB_CHECKED(read_function_auth(map, config.function_auth));
  EBB_CHECKED(map.read("otlp_traces_endpoint", config.otlp_traces_endpoint));
  EBB_CHECKED(map.read("otlp_headers_file", config.otlp_headers_file));
  EBB_CHECKED(read_ratio(map, "trace_sample_ratio", config.trace_sample_ratio));
  EBB_CHECKED(map.read("webhook_url", config.webhook_url));
  EBB_CHECKED(map.read("webhook_secret_file", config.webhook_secret_file));
  EBB_CHECKED(map.read("webhook_usage", config.webhook_usage));
  EBB_CHECKED(check(map, config));
  return config;
}

base::Result<Config> load_config(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int failed = errno;
    if (failed == ENOENT) return base::not_found("configuration file " + path + " does not exist");
    return base::os_error("open configuration file " + path, failed);
  }
  // One byte more than allowed, so that parse_yaml sees that it is too large.
  std::string text(limits::kManifestBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return base::os_error("read configuration file " + path, EIO);
  text.resize(static_cast<std::size_t>(file.gcount()));
  auto config = parse_config(text);
  if (config) return config;
  base::Error error = config.error();
  error.message = path + ": " + error.message;
  return error;
}

std::string effective_config_yaml(const Config& config) {
  const auto line = [](std::string_view key, std::string_view value) {
    return std::string(key) + ": " + std::string(value) + "\n";
  };
  return line("data_dir", quoted(config.data_dir)) + line("listen", quoted(config.listen)) +
         line("user", quoted(config.user)) + line("io_cores", std::to_string(config.io_cores)) +
         line("log_level", kLogLevels[static_cast<std::size_t>(config.log_level)]) +
         line("memory_budget", base::to_string(config.memory_budget)) +
         line("keep_alive_price", std::to_string(config.keep_alive_price)) +
         line("max_instances", std::to_string(config.max_instances)) +
         line("max_spares", std::to_string(config.max_spares)) +
         line("freeze_after", base::to_string(config.freeze_after)) +
         line("usage_flush_interval", base::to_string(config.usage_flush_interval)) +
         line("usage_held_interval", base::to_string(config.usage_held_interval)) +
         line("usage_retention_days", std::to_string(config.usage_retention_days)) +
         line("price_file", quoted(config.price_file)) + line("uid_base", std::to_string(config.uid_base)) +
         line("python", quoted(config.python)) +
         line("build_network", kBuildNetworks[static_cast<std::size_t>(config.build_network)]) +
         line("pip_only_binary", config.pip_only_binary ? "true" : "false") +
         line("registry_auth", quoted(config.registry_auth)) +
         line("insecure_registries", list_of(config.insecure_registries)) +
         line("egress_allow_private", list_of(config.egress_allow_private)) +
         line("egress_resolvers", list_of(config.egress_resolvers)) +
         line("egress_ipv4", quoted(base::to_string(config.egress_ipv4))) +
         line("egress_ipv6", quoted(base::to_string(config.egress_ipv6))) + line("runsc", quoted(config.runsc)) +
         line("function_auth", name_of(config.function_auth)) +
         line("tls_certificate", quoted(config.tls_certificate)) + line("tls_key", quoted(config.tls_key)) +
         line("trusted_proxies", list_of(config.trusted_proxies)) +
         line("otlp_traces_endpoint", quoted(config.otlp_traces_endpoint)) +
         line("otlp_headers_file", quoted(config.otlp_headers_file)) +
         line("trace_sample_ratio", ratio_text(config.trace_sample_ratio)) +
         line("webhook_url", quoted(config.webhook_url)) +
         line("webhook_secret_file", quoted(config.webhook_secret_file)) +
         line("webhook_usage", config.webhook_usage ? "true" : "false");
}

}  // namespace ebb::model
