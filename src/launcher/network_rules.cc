#include "launcher/network_rules.h"

#include <algorithm>

#include "base/limits.h"

namespace ebb::launcher {
namespace {

constexpr std::uint8_t kSlicePrefix4 = 21;
constexpr std::uint8_t kSlicePrefix6 = 112;
constexpr unsigned kSliceBits6 = 16;

std::string elements_of(const std::vector<base::IpRange>& ranges, base::IpFamily family) {
  std::string text;
  for (const base::IpRange& range : ranges) {
    if (range.first.family == family) text += (text.empty() ? "" : ", ") + base::to_string(range);
  }
  return text.empty() ? "" : "    elements = { " + text + " }\n";
}

std::string range_sets(const std::string& name, const std::vector<base::IpRange>& ranges) {
  const std::string kind = "    flags interval\n    auto-merge\n";
  return "  set " + name + "4 {\n    type ipv4_addr\n" + kind + elements_of(ranges, base::IpFamily::kV4) + "  }\n" +
         "  set " + name + "6 {\n    type ipv6_addr\n" + kind + elements_of(ranges, base::IpFamily::kV6) + "  }\n";
}

// A set for each family; `more` follows the sandbox's address in the key.
std::string sandbox_sets(const std::string& name, const std::string& more, const std::string& flags) {
  std::string text;
  for (const std::string family : {"4", "6"}) {
    std::string type = "ipv" + family + "_addr";
    if (more.find("address") != std::string::npos) type += " . ipv" + family + "_addr";
    if (more.find("port") != std::string::npos) type += " . inet_service";
    text += "  set " + name + family + " {\n    type " + type + "\n";
    text += (flags.empty() ? "" : "    flags " + flags + "\n") + "  }\n";
  }
  return text;
}

}  // namespace

std::uint32_t EgressSlice::last_sandbox() const { return (1U << (32 - range4.prefix)) - 2; }

std::uint32_t slice_count(const EgressOptions& options) {
  const std::uint32_t count4 = 1U << (kSlicePrefix4 - std::min(kSlicePrefix4, options.pool4.prefix));
  return std::min(count4, 1U << kSliceBits6);
}

EgressSlice slice_of(const EgressOptions& options, std::uint32_t number) {
  const std::uint8_t prefix4 = std::max(kSlicePrefix4, options.pool4.prefix);
  return {.range4 = {.first = base::nth(options.pool4.first, number << (32 - prefix4)), .prefix = prefix4},
          .range6 = {.first = base::nth(options.pool6.first, number << kSliceBits6), .prefix = kSlicePrefix6}};
}

base::IpAddress gateway4(const EgressOptions& options) { return base::nth(options.pool4.first, 1); }
base::IpAddress gateway6(const EgressOptions& options) { return base::nth(options.pool6.first, 1); }

base::IpAddress neighbour_address(std::uint8_t number) {
  base::IpAddress address{.family = base::IpFamily::kV6, .bytes = {0xfe, 0x80}};
  address.bytes[15] = number;
  return address;
}

std::string router_rules(const EgressOptions& options) {
  std::vector<base::IpRange> never = options.never;
  never.push_back(options.pool4);
  never.push_back(options.pool6);
  const std::string resolver = base::to_string(gateway4(options));
  const std::string refuse = " reject with icmpx type admin-prohibited\n";
  const std::string most = std::to_string(limits::kEgressConnections);
  std::string text = "table inet " + std::string(kRouterTable) + " {\n";
  text += range_sets("never", never) + range_sets("reserved", options.reserved) +
          range_sets("permitted", options.permitted);
  text += sandbox_sets("open", "", "");
  text += sandbox_sets("nets", "address", "interval");
  text += sandbox_sets("ports", "address and port", "interval");
  text += sandbox_sets("names", "address", "timeout");
  text += sandbox_sets("nameports", "address and port", "timeout");
  text += sandbox_sets("counts", "", "dynamic");
  // 1. Nobody speaks with another's address: the way back to it must be the way it came.
  text +=
      "  chain sources {\n    type filter hook prerouting priority raw; policy accept;\n"
      "    iifname \"v*\" fib saddr . iif oif missing drop\n  }\n";
  // 2. Of the router itself there is nothing to be reached but the resolver's socket.
  text +=
      "  chain incoming {\n    type filter hook input priority filter; policy drop;\n"
      "    iifname \"v*\" ip daddr " +
      resolver +
      " meta l4proto { tcp, udp } th dport 53 accept\n"
      "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
      "    ct state established,related accept\n"
      "    iifname \"v*\"" +
      refuse + "  }\n";
  // 3. In come answers only; out goes what `outward` lets; from sandbox to sandbox nothing goes.
  text +=
      "  chain forwarded {\n    type filter hook forward priority filter; policy drop;\n"
      "    iifname \"up\" oifname \"v*\" ct state established,related accept\n"
      "    iifname \"v*\" oifname \"up\" goto outward\n"
      "    iifname \"v*\"" +
      refuse + "  }\n";
  // 4. The first packet of a connection decides. What is never or not by default reached comes before any permission,
  //    names are asked of our resolver only.
  text +=
      "  chain outward {\n"
      "    ct state established accept\n"
      "    ct state != new drop\n"
      "    ip daddr @never4" +
      refuse + "    ip6 daddr @never6" + refuse + "    meta l4proto != { tcp, udp }" + refuse +
      "    th dport { 53, 853 }" + refuse + "    ip daddr @reserved4 ip daddr != @permitted4" + refuse +
      "    ip6 daddr @reserved6 ip6 daddr != @permitted6" + refuse + "    add @counts4 { ip saddr ct count over " +
      most + " }" + refuse + "    add @counts6 { ip6 saddr ct count over " + most + " }" + refuse +
      "    ip saddr @open4 accept\n"
      "    ip6 saddr @open6 accept\n"
      "    ip saddr . ip daddr @nets4 accept\n"
      "    ip6 saddr . ip6 daddr @nets6 accept\n"
      "    ip saddr . ip daddr . th dport @ports4 accept\n"
      "    ip6 saddr . ip6 daddr . th dport @ports6 accept\n"
      "    ip saddr . ip daddr @names4 accept\n"
      "    ip6 saddr . ip6 daddr @names6 accept\n"
      "    ip saddr . ip daddr . th dport @nameports4 accept\n"
      "    ip6 saddr . ip6 daddr . th dport @nameports6 accept\n"
      "   " +
      refuse + "  }\n}\n";
  return text;
}

std::string host_rules(const std::string& uplink, const EgressSlice& slice,
                       const std::vector<MadeForwarding>& made_forwarding) {
  const std::string in = "    iifname \"" + uplink + "\" ";
  const std::string out = "    oifname \"" + uplink + "\" ";
  const std::string refuse = "reject with icmpx type admin-prohibited\n";
  const std::string leaving = " oifname != \"" + uplink + "\" masquerade\n";
  std::string text = "table inet ebb_" + uplink.substr(3) + " {\n  flags owner\n";
  // 1. The host's own addresses, all of them and whatever they are, are not for sandboxes.
  text += "  chain input {\n    type filter hook input priority -10; policy accept;\n" + in +
          "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n" + in + refuse + "  }\n";
  // 2. Answers come in, nothing else; nothing goes to another node's sandboxes. 3. An interface that forwards for us
  //    forwards for nobody else.
  text += "  chain forward {\n    type filter hook forward priority -10; policy accept;\n" + out +
          "ct state established,related accept\n" + out + "drop\n" + in + "oifname \"ebb*\" " + refuse + in +
          "accept\n";
  for (const MadeForwarding& made : made_forwarding) {
    const std::string family = made.family == base::IpFamily::kV4 ? "ipv4" : "ipv6";
    text += "    iifname \"" + made.name + "\" oifname != \"ebb*\" meta nfproto " + family + " drop\n";
  }
  text += "  }\n  chain leaving {\n    type nat hook postrouting priority srcnat; policy accept;\n    ip saddr " +
          base::to_string(slice.range4) + leaving + "    ip6 saddr " + base::to_string(slice.range6) + leaving +
          "  }\n}\n";
  return text;
}

}  // namespace ebb::launcher
