// The daemon's configuration file: a map of the keys below, every one optional. An unknown key is an error with a
// suggestion. The struct is the manual: default, unit, range. Every key is static, a change needs a restart;
// the content of the TLS files is not. The command line only overrides; tests construct the struct.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/result.h"
#include "model/function_spec.h"

namespace ebb::model {

/// Whether the build sandbox (pip, build commands) shares the host's network or has none.
enum class BuildNetwork : std::uint8_t { kHost, kNone };

struct Config {
  /// Everything Ebb keeps: metadata, packages, layers, logs, usage. An absolute path on a local file system.
  /// Default /var/lib/ebb. Static.
  std::string data_dir = "/var/lib/ebb";

  /// "address:port" for all HTTP, "[::1]:8080" for IPv6. Port 0 takes a free one. The control
  /// plane asks for a key; on an address other than loopback keys travel in the clear without TLS. Default
  /// 127.0.0.1:8080. Static.
  std::string listen = "127.0.0.1:8080";

  /// The account the daemon runs as after the launcher has started it; it must exist. Default ebb. Static.
  std::string user = "ebb";

  /// Threads that serve connections. 0 = hardware threads less one, at least 1. Range 0 to 256. Default 0. Static.
  std::uint32_t io_cores = 0;

  /// Lines below are not written: debug, info, warning or error. Default info. Static.
  base::LogLevel log_level = base::LogLevel::kInfo;

  /// Memory all sandboxes together may use. From 90 % of it in use idle functions give way, and what still does not fit
  /// is not started; the kernel holds them to the whole. 0 = 75 % of the machine's. Else at least 64Mi. Default 0.
  /// Static.
  base::Bytes memory_budget{0};

  /// How long zygotes are kept between calls: the GB-seconds that may be held to spare callers one second of waiting.
  /// Each function's own gaps between calls decide when it is held, let go and loaded ahead. 0 = held while there is
  /// memory; then, and when there is none with a price too, the function whose memory is worth least gives way. Range 0
  /// to 1000000. Default 0. Static.
  std::uint32_t keep_alive_price = 0;

  /// Instances of all functions together. Lower it on a machine with few pids. Range 1 to 100000. Default 2000.
  /// Static.
  std::uint32_t max_instances = 2000;

  /// Spares of all functions together: instances that are started ahead, one for each function whose instances load for
  /// long, so that its next cold call finds one ready. They take up to limits::kSpareMemoryShare percent of
  /// memory_budget and are the first to give way. 0 = none. Range 0 to 10000. Default 100. Static.
  std::uint32_t max_spares = 100;

  /// An instance that idles longer is frozen: it keeps its memory and uses no processor until the next call thaws it,
  /// which costs 0.1 ms. 0 = never. From 100ms to 1h. Default 1s. Static.
  base::Duration freeze_after = std::chrono::seconds(1);

  /// How often usage records are forced to disk: what a power failure can lose. A shorter time costs disk writes.
  /// Range 10ms to 1m. Default 1s. Static.
  base::Duration usage_flush_interval = std::chrono::seconds(1);

  /// How often what each version held in memory becomes a record, of 256 bytes: what SIGKILL of the daemon can lose of
  /// it. Range 1s to 10m. Default 1m. Static.
  base::Duration usage_held_interval = std::chrono::minutes(1);

  /// Days that raw usage records are kept; what they add up to is kept for good. 0 = records too. Range 0 to 36500.
  /// Default 0. Static.
  std::uint32_t usage_retention_days = 0;

  /// What use costs, as docs/reference/bill.md describes the file: an absolute path. "" is no price, bills are in CU
  /// alone. Default none. Reloadable: read anew for every bill; a wrong one at the start keeps the node from starting.
  std::string price_file;

  /// First of the host uids given to apps, 65,536 to each of up to limits::kApps apps. A multiple of 65536 from 65536;
  /// change it only where another container engine uses the same range, and never with apps deployed. Default
  /// 1879048192. Static.
  std::uint32_t uid_base = 1'879'048'192;

  /// The Python 3 interpreter of the python3 runtime, an absolute path. Default /usr/bin/python3. Static.
  std::string python = "/usr/bin/python3";

  /// host = pip reaches package indexes as the host does; none = only what is in the package. Default host. Static.
  BuildNetwork build_network = BuildNetwork::kHost;

  /// true = of an index pip takes wheels only, whatever requirements say, so that installing runs no code of a package
  /// but of those that they name by file or URL. Default true. Static.
  bool pip_only_binary = true;

  /// File with credentials for registries of container images, for every app's images, in the form of docker's
  /// config.json ({"auths": ...}); the daemon's account must be able to read it. An app's secret `registry-auth` stands
  /// in its place. Default none. Reloadable: read at every deployment.
  std::string registry_auth;

  /// Registries that are asked by plain HTTP where they have no HTTPS, as host or host:port; those on the loopback
  /// always are. At most 64. Default none. Static.
  std::vector<std::string> insecure_registries;

  /// Private addresses (RFC 1918, carrier-grade NAT, unique local and the like) that functions with `network: egress`
  /// may reach all the same, as a list of ranges: [10.20.0.0/16, "fd12:3456::/32"]. Loopback, link-local and metadata
  /// addresses and this node itself stay out of reach whatever stands here. At most 64. Default none. Static.
  std::vector<base::IpRange> egress_allow_private;

  /// Where functions' host names are looked up: addresses of resolvers, at most 3. Default none: those of
  /// /etc/resolv.conf. Static.
  std::vector<base::IpAddress> egress_resolvers;

  /// The IPv4 range that sandboxes with `network: egress` have addresses from; a node takes a part of it that no route
  /// of the host leads to. Change it where this range is in use. A prefix of at most 24. Default 198.18.0.0/15. Static.
  base::IpRange egress_ipv4{.first = base::ipv4(0xc612'0000), .prefix = 15};

  /// The same for IPv6: a prefix of at most 96. Default fd65:6262::/64. Static.
  base::IpRange egress_ipv6{.first = {.family = base::IpFamily::kV6, .bytes = {0xfd, 0x65, 0x62, 0x62}}, .prefix = 64};

  /// The program behind `isolation: gvisor`: a path, or a name looked up in PATH when ebb serve starts. Empty, or not
  /// found: functions that ask for it are refused. Default runsc. Static.
  std::string runsc = "runsc";

  /// Who may call functions whose ebb.yaml says nothing: none = their URLs answer everybody; key = only holders of a
  /// key of role invoke. Default none. Static.
  Auth function_auth = Auth::kNone;

  /// PEM file with the certificate and those between it and its authority; with tls_key turns HTTP into HTTPS. The
  /// daemon's account must be able to read both. "" is none. Default none. Reloadable: a changed file is read in 10 s.
  std::string tls_certificate;

  /// PEM file with the certificate's private key. Default none. Reloadable, as tls_certificate.
  std::string tls_key;

  /// Proxies in front of this node, as ranges: [127.0.0.1, 10.20.0.0/16]. What these say of the client of a function's
  /// call is believed: X-Forwarded-Proto and -Host are passed on, and the client's address is the rightmost of
  /// X-Forwarded-For that is none of them. Of anybody else they are not. At most 64. Default none. Static.
  std::vector<base::IpRange> trusted_proxies;

  /// Where traces of calls are posted: the whole URL of an OpenTelemetry collector's OTLP/HTTP receiver, such as
  /// http://127.0.0.1:4318/v1/traces. It is the operator's word: any address, loopback too. Default none: no traces.
  /// Static.
  std::string otlp_traces_endpoint;

  /// File with the headers that go with each post, such as an API key: one "Name: value" a line. An absolute path; the
  /// daemon's account must be able to read it. Default none. Static.
  std::string otlp_headers_file;

  /// The share of calls that is traced where the caller did not decide (no traceparent, or a malformed one). Range 0 to
  /// 1. Default 1. Static.
  double trace_sample_ratio = 1;

  /// Where the node's events (budget.alert) are posted, signed: a whole URL. It is the operator's word: any address,
  /// loopback too. Default none. Static.
  std::string webhook_url;

  /// File with the secret that they are signed with: "whsec_" and base64 of 24 to 64 bytes. An absolute path; the
  /// daemon's account must be able to read it. Default none. Static.
  std::string webhook_secret_file;

  /// true = every closed usage record is posted there too, in batches. Default false. Static.
  bool webhook_usage = false;

  bool operator==(const Config&) const = default;
};

/// Reads the text of a configuration file; an empty one gives the defaults.
/// Errors: kInvalidArgument with line, key and remedy; kTooLarge.
base::Result<Config> parse_config(std::string_view yaml);

/// Reads the file. Errors: as parse_config, with the path in front; kNotFound when there is none.
base::Result<Config> load_config(const std::string& path);

/// All keys with their values in effect, in the form parse_config reads.
std::string effective_config_yaml(const Config& config);

/// The two halves of `listen`. Errors: kInvalidArgument with the accepted form.
struct ListenAddress {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  bool operator==(const ListenAddress&) const = default;
};
base::Result<ListenAddress> parse_listen(std::string_view text);

}  // namespace ebb::model
