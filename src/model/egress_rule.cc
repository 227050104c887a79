#include "model/egress_rule.h"

#include <charconv>

namespace ebb::model {
namespace {

constexpr std::size_t kHostNameMax = 253;
constexpr std::size_t kLabelMax = 63;

std::vector<base::IpRange> ranges_of(std::initializer_list<std::string_view> texts) {
  std::vector<base::IpRange> ranges;
  for (const std::string_view text : texts) ranges.push_back(base::parse_ip_range(text).value());
  return ranges;
}

base::Error unreadable(std::string_view text) {
  return base::invalid_argument("'" + std::string(text.substr(0, 300)) +
                                "' is neither a host name such as api.example.com nor an address or range such as "
                                "192.0.2.0/24, each with :port or without ([2001:db8::1]:443 for IPv6)");
}

base::Result<std::uint16_t> parse_port(std::string_view digits, std::string_view whole) {
  std::uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size() || port == 0) {
    return unreadable(whole);
  }
  return port;
}

bool looks_like_address(std::string_view text) {
  // All digits and dots is an address, or a mistake in one: no top-level domain is a number.
  return text.find_first_not_of("0123456789./") == std::string_view::npos || text.find(':') != std::string_view::npos;
}

}  // namespace

std::optional<std::string> normal_host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kHostNameMax) return std::nullopt;
  std::string name;
  std::size_t label = 0;
  for (const char c : text) {
    if (c == '.') {
      if (label == 0) return std::nullopt;
      label = 0;
    } else if (++label > kLabelMax) {
      return std::nullopt;
    }
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool fine = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '-' ||
                      lower == '_' || lower == '.';
    if (!fine) return std::nullopt;
    name += lower;
  }
  if (label == 0) return std::nullopt;
  return name;
}

bool EgressRule::covers_name(std::string_view host) const {
  if (name.empty()) return false;
  if (!name.starts_with("*.")) return host == name;
  const std::string_view below = std::string_view(name).substr(1);
  return host.size() > below.size() && host.ends_with(below);
}

base::Result<EgressRule> parse_egress_rule(std::string_view text) {
  EgressRule rule;
  std::string_view host = text;
  std::string_view port;
  bool with_port = false;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return unreadable(text);
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (host.find(':') == std::string_view::npos || (!rest.empty() && rest.front() != ':')) return unreadable(text);
    with_port = !rest.empty();
    if (with_port) port = rest.substr(1);
  } else if (const std::size_t colon = text.find(':');
             colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    with_port = true;
  }
  if (with_port) {
    EBB_TRY(rule.port, parse_port(port, text));
  }
  if (looks_like_address(host)) {
    const auto range = base::parse_ip_range(host);
    if (!range) return base::invalid_argument(range.error().message);
    rule.range = *range;
    return rule;
  }
  const bool below = host.starts_with("*.");
  const auto name = normal_host_name(below ? host.substr(2) : host);
  if (!name) return unreadable(text);
  rule.name = (below ? "*." : "") + *name;
  return rule;
}

std::string to_string(const EgressRule& rule) {
  std::string text = rule.range ? base::to_string(*rule.range) : rule.name;
  if (rule.port == 0) return text;
  if (text.find(':') != std::string::npos) text = "[" + text + "]";
  return text + ":" + std::to_string(rule.port);
}

const std::vector<base::IpRange>& private_ranges() {
  static const std::vector<base::IpRange> kRanges = ranges_of({
      "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  // RFC 1918
      "100.64.0.0/10",                                  // carrier-grade NAT, overlays
      "192.0.0.0/24", "198.18.0.0/15",                  // protocol assignments, benchmarking
      "fc00::/7", "fec0::/10",                          // unique local, site local
      "64:ff9b::/96", "64:ff9b:1::/48",                 // NAT64: an IPv4 address in IPv6 clothes
      "2002::/16", "2001::/32",                         // 6to4 and Teredo: the same
      "100::/64",                                       // discard
  });
  return kRanges;
}

const std::vector<base::IpRange>& never_ranges() {
  static const std::vector<base::IpRange> kRanges = ranges_of({
      "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",       // this host, loopback, link-local
      "224.0.0.0/4", "240.0.0.0/4",                       // multicast, reserved, broadcast
      "100.100.100.200", "168.63.129.16", "192.0.0.192",  // metadata services outside of 169.254.0.0/16
      "::/96", "::ffff:0:0/96",                           // unspecified, loopback, IPv4 in IPv6
      "fe80::/10", "ff00::/8",                            // link-local, multicast
      "fd00:ec2::/32", "fd20:ce::254",                    // metadata services
  });
  return kRanges;
}

}  // namespace ebb::model
