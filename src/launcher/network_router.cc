#include "launcher/network_router.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/log.h"
#include "os/file.h"
#include "os/network_namespace.h"

namespace ebb::launcher {
namespace {

using base::IpFamily;

constexpr const char* kIpv4 = "/proc/sys/net/ipv4/";
constexpr const char* kIpv6 = "/proc/sys/net/ipv6/";

base::Result<os::Fd> bound_socket(int type, const base::IpAddress& address) {
  os::Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return base::os_error("socket", errno);
  const int on = 1;
  // The address is on interfaces that come and go.
  if (::setsockopt(socket.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on) != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return base::os_error("set a socket's options", errno);
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(53);
  std::memcpy(&name.sin_addr, address.bytes.data(), 4);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return base::os_error("bind the resolver's socket", errno);
  }
  if (type == SOCK_STREAM && ::listen(socket.get(), 64) != 0) return base::os_error("listen", errno);
  return socket;
}

bool is_on(const std::string& setting) {
  const base::Result<std::string> value = os::read_file(setting);
  return value && !value->starts_with('0');
}

}  // namespace

base::Result<std::unique_ptr<NetworkRouter>> NetworkRouter::open(const EgressOptions& options,
                                                                 const std::string& owner) {
  std::unique_ptr<NetworkRouter> router(new NetworkRouter(options));
  const base::Result<> built = router->build(owner);
  if (built) return router;
  return base::unavailable("network: egress is not to be had on this host: " + built.error().message +
                           "; it needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN and a kernel with veth and nf_tables "
                           "(ct, fib, nat, reject): modprobe veth nf_tables, or leave `network` at none");
}

NetworkRouter::~NetworkRouter() {
  if (!host_links_ || uplink_.empty()) return;
  static_cast<void>(os::remove_link(*host_links_, uplink_));
  // Another node on this host may have found it switched on.
  const base::Result<std::vector<std::string>> others = os::links_named(*host_links_, "ebb");
  if (others && !others->empty()) return;
  for (const MadeForwarding& made : made_forwarding_) static_cast<void>(os::write_file(made.setting, "0"));
}

base::Result<> NetworkRouter::build(const std::string& owner) {
  uplink_ = "ebb" + owner.substr(owner.find('-') + 1, 8);
  EBB_TRY(host_, os::present_network_namespace());
  EBB_TRY(os::NetlinkSocket host_links, os::NetlinkSocket::open(NETLINK_ROUTE));
  host_links_ = std::make_unique<os::NetlinkSocket>(std::move(host_links));
  EBB_TRY(router_, os::make_network_namespace());
  // A former run's goes with its namespace, which the kernel takes down in its own time.
  static_cast<void>(os::remove_link(*host_links_, uplink_));
  EBB_CHECKED(os::make_veth(*host_links_, uplink_, "up", router_));
  EBB_CHECKED(os::raise_link(*host_links_, uplink_));
  // The filter stands before anything can pass.
  EBB_CHECKED(os::within_network_namespace(host_, router_, [this] { return furnish(); }));
  EBB_CHECKED(claim_slice(owner));
  EBB_CHECKED(plan_forwarding());
  EBB_TRY(os::NftRules rules, os::NftRules::load(host_rules(uplink_, slice_, made_forwarding_)));
  host_rules_ = std::make_unique<os::NftRules>(std::move(rules));
  EBB_CHECKED(os::write_file(std::string(kIpv4) + "conf/" + uplink_ + "/forwarding", "1"));
  for (const MadeForwarding& made : made_forwarding_) EBB_CHECKED(os::write_file(made.setting, "1"));

  // From the router to the host.
  const base::IpAddress host4 = slice_.address4(kHostNumber);
  EBB_CHECKED(os::add_address(*links_, "up", slice_.address4(kRouterNumber), 32));
  EBB_CHECKED(os::add_route(*links_, "up", base::single(host4)));
  EBB_CHECKED(os::add_route(*links_, "up", {.first = base::ipv4(0), .prefix = 0}, &host4));
  base::Result<> ipv6 = connect_ipv6();
  if (ipv6) ipv6 = forward_ipv6();
  if (!ipv6) {
    has_ipv6_ = false;
    base::log(base::LogLevel::kWarning, "sandboxes reach no IPv6 address", {{"reason", ipv6.error().message}});
  }
  return open_resolver_sockets();
}

// In the router's namespace.
base::Result<> NetworkRouter::furnish() {
  EBB_TRY(os::NetlinkSocket links, os::NetlinkSocket::open(NETLINK_ROUTE));
  links_ = std::make_unique<os::NetlinkSocket>(std::move(links));
  EBB_TRY(const os::NftRules loaded, os::NftRules::load(router_rules(options_)));
  EBB_TRY(os::NftElements elements, os::NftElements::open(kRouterTable));
  elements_ = std::make_unique<os::NftElements>(std::move(elements));
  EBB_CHECKED(os::write_file(std::string(kIpv4) + "ip_forward", "1"));
  // In this namespace only: port 53 then needs no further capability.
  EBB_CHECKED(os::write_file(std::string(kIpv4) + "ip_unprivileged_port_start", "53"));
  has_ipv6_ = os::write_file(std::string(kIpv6) + "conf/all/forwarding", "1").has_value();
  EBB_CHECKED(os::raise_link(*links_, "lo"));
  return os::raise_link(*links_, "up");
}

// A part of the pool that no route of the host leads to. Of two nodes that want the same, the one whose route comes
// first has it.
base::Result<> NetworkRouter::claim_slice(const std::string& owner) {
  EBB_TRY(const std::vector<base::IpRange> routes, os::routes(*host_links_, IpFamily::kV4));
  const std::uint32_t count = slice_count(options_);
  const auto start = static_cast<std::uint32_t>(std::hash<std::string>()(owner) % count);
  for (std::uint32_t tried = 0; tried < count; ++tried) {
    slice_ = slice_of(options_, (start + tried) % count);
    const auto in_use = [&](const base::IpRange& route) { return route.prefix > 0 && route.overlaps(slice_.range4); };
    if (std::any_of(routes.begin(), routes.end(), in_use)) continue;
    const base::IpAddress router = slice_.address4(kRouterNumber);
    const base::Result<> claimed = os::add_route(*host_links_, uplink_, base::single(router));
    if (!claimed && claimed.error().os_errno == EEXIST) continue;
    if (!claimed) return claimed.error();
    EBB_CHECKED(os::add_address(*host_links_, uplink_, slice_.address4(kHostNumber), 32));
    return os::add_route(*host_links_, uplink_, slice_.range4, &router);
  }
  return base::unavailable("every part of egress_ipv4 (" + base::to_string(options_.pool4) +
                           ") is in use on this host, configure another range");
}

base::Result<> NetworkRouter::connect_ipv6() {
  if (!has_ipv6_) return base::unavailable("the kernel has no IPv6");
  const base::IpAddress host = slice_.address6(kHostNumber);
  const base::IpAddress router = slice_.address6(kRouterNumber);
  EBB_CHECKED(os::add_address(*host_links_, uplink_, host, 128));
  EBB_CHECKED(os::add_address(*host_links_, uplink_, neighbour_address(kHostNumber), 64));
  EBB_CHECKED(os::add_address(*links_, "up", neighbour_address(kRouterNumber), 64));
  EBB_CHECKED(os::add_route(*host_links_, uplink_, base::single(router)));
  EBB_CHECKED(os::add_route(*host_links_, uplink_, slice_.range6, &router));
  EBB_CHECKED(os::add_address(*links_, "up", router, 128));
  EBB_CHECKED(os::add_route(*links_, "up", base::single(host)));
  return os::add_route(*links_, "up", {.first = {.family = IpFamily::kV6, .bytes = {}}, .prefix = 0}, &host);
}

// Per interface since Linux 6.17. Before, only a setting for the whole machine, which makes it a router that takes no
// router advertisements any more: not ours to change.
base::Result<> NetworkRouter::forward_ipv6() {
  if (is_on(std::string(kIpv6) + "conf/all/forwarding")) return {};
  if (os::write_file(std::string(kIpv6) + "conf/" + uplink_ + "/force_forwarding", "1")) return {};
  return base::unavailable(
      "the host does not forward IPv6 and this kernel cannot do so for single interfaces: sysctl -w "
      "net.ipv6.conf.all.forwarding=1 (and accept_ra=2 where addresses come by router advertisement), then restart");
}

// Answers come in through the interfaces that default routes lead out of; the kernel hands them on only if these
// forward.
base::Result<> NetworkRouter::plan_forwarding() {
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    const bool v4 = family == IpFamily::kV4;
    if (!v4 && is_on(std::string(kIpv6) + "conf/all/forwarding")) continue;
    EBB_TRY(const std::vector<std::string> uplinks, os::default_route_links(*host_links_, family));
    for (const std::string& name : uplinks) {
      if (name == uplink_ || name.find('/') != std::string::npos) continue;
      const std::string setting =
          std::string(v4 ? kIpv4 : kIpv6) + "conf/" + name + (v4 ? "/forwarding" : "/force_forwarding");
      if (const base::Result<std::string> value = os::read_file(setting); value && value->starts_with('0')) {
        made_forwarding_.push_back({.setting = setting, .name = name, .family = family});
      }
    }
  }
  return {};
}

base::Result<> NetworkRouter::open_resolver_sockets() {
  return os::within_network_namespace(host_, router_, [this]() -> base::Result<> {
    EBB_TRY(resolver_udp_, bound_socket(SOCK_DGRAM, gateway4(options_)));
    EBB_TRY(resolver_tcp_, bound_socket(SOCK_STREAM, gateway4(options_)));
    return {};
  });
}

}  // namespace ebb::launcher
