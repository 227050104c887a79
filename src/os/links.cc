#include "os/links.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace ebb::os {
namespace {

int family_of(const base::IpAddress& address) { return address.family == base::IpFamily::kV4 ? AF_INET : AF_INET6; }

std::string_view bytes_of(const base::IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.size()};
}

base::Result<int> index_of(const NetlinkSocket& socket, const std::string& name) {
  NetlinkRequest request;
  request.begin(RTM_GETLINK, NLM_F_ACK);
  request.header(ifinfomsg{});
  request.attribute_text(IFLA_IFNAME, name);
  EBB_TRY(const std::vector<std::string> links, socket.dump(request, "find the interface " + name));
  ifinfomsg info{};
  if (links.size() != 1 || links[0].size() < sizeof info) return base::os_error("find the interface " + name, ENODEV);
  std::memcpy(&info, links[0].data(), sizeof info);
  return info.ifi_index;
}

// The kernel makes link-local addresses for interfaces that come up unless told; none is wanted on ours, nor the
// packets they cause. Without IPv6 on this host there is nothing to tell.
void refuse_link_local(const NetlinkSocket& socket, const std::string& name) {
  NetlinkRequest request;
  request.begin(RTM_NEWLINK, NLM_F_ACK);
  request.header(ifinfomsg{});
  request.attribute_text(IFLA_IFNAME, name);
  const std::size_t spec = request.open(IFLA_AF_SPEC);
  const std::size_t inet6 = request.open(AF_INET6);
  const char mode = IN6_ADDR_GEN_MODE_NONE;
  request.attribute(IFLA_INET6_ADDR_GEN_MODE, {&mode, 1});
  request.close(inet6);
  request.close(spec);
  static_cast<void>(socket.perform(request, "configure the interface " + name));
}

/// One object of a list: its fixed part, and the attributes behind it.
template <typename Head>
struct Listed {
  Head head{};
  std::string attributes;
};

template <typename Head>
base::Result<std::vector<Listed<Head>>> list(const NetlinkSocket& socket, std::uint16_t type, const Head& wanted,
                                             std::string_view what) {
  NetlinkRequest request;
  request.begin(type, NLM_F_DUMP);
  request.header(wanted);
  EBB_TRY(const std::vector<std::string> found, socket.dump(request, what));
  std::vector<Listed<Head>> objects;
  for (const std::string& one : found) {
    if (one.size() < sizeof(Head)) continue;
    Listed<Head> object{.attributes = one.substr(sizeof(Head))};
    std::memcpy(&object.head, one.data(), sizeof(Head));
    objects.push_back(std::move(object));
  }
  return objects;
}

base::Result<std::vector<Listed<ifinfomsg>>> all_links(const NetlinkSocket& socket) {
  return list(socket, RTM_GETLINK, ifinfomsg{}, "list interfaces");
}

std::string_view name_of(const Listed<ifinfomsg>& link) {
  std::string_view name = find_attribute(link.attributes, IFLA_IFNAME);
  if (name.ends_with('\0')) name.remove_suffix(1);
  return name;
}

base::Result<std::vector<Listed<rtmsg>>> all_routes(const NetlinkSocket& socket, base::IpFamily family) {
  rtmsg wanted{};
  wanted.rtm_family = family == base::IpFamily::kV4 ? AF_INET : AF_INET6;
  return list(socket, RTM_GETROUTE, wanted, "list routes");
}

}  // namespace

base::Result<> make_veth(const NetlinkSocket& socket, const std::string& name, const std::string& peer,
                         const Fd& peer_namespace) {
  NetlinkRequest request;
  request.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  request.header(ifinfomsg{});
  request.attribute_text(IFLA_IFNAME, name);
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.attribute_text(IFLA_INFO_KIND, "veth");
  const std::size_t data = request.open(IFLA_INFO_DATA);
  const std::size_t other = request.open(VETH_INFO_PEER);
  request.header(ifinfomsg{});
  request.attribute_text(IFLA_IFNAME, peer);
  if (peer_namespace.valid()) request.attribute_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_namespace.get()));
  request.close(other);
  request.close(data);
  request.close(info);
  return socket.perform(request, "make the interfaces " + name + " and " + peer);
}

base::Result<> move_link(const NetlinkSocket& socket, const std::string& name, const Fd& target,
                         const std::string& new_name) {
  EBB_TRY(const int index, index_of(socket, name));
  NetlinkRequest request;
  request.begin(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg info{};
  info.ifi_index = index;
  request.header(info);
  request.attribute_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(target.get()));
  request.attribute_text(IFLA_IFNAME, new_name);
  return socket.perform(request, "move the interface " + name);
}

base::Result<> raise_link(const NetlinkSocket& socket, const std::string& name) {
  refuse_link_local(socket, name);
  NetlinkRequest request;
  request.begin(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg info{};
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  request.header(info);
  request.attribute_text(IFLA_IFNAME, name);
  return socket.perform(request, "bring up the interface " + name);
}

base::Result<> remove_link(const NetlinkSocket& socket, const std::string& name) {
  NetlinkRequest request;
  request.begin(RTM_DELLINK, NLM_F_ACK);
  request.header(ifinfomsg{});
  request.attribute_text(IFLA_IFNAME, name);
  return socket.perform(request, "remove the interface " + name);
}

base::Result<std::vector<std::string>> links_named(const NetlinkSocket& socket, std::string_view prefix) {
  EBB_TRY(const std::vector<Listed<ifinfomsg>> links, all_links(socket));
  std::vector<std::string> names;
  for (const Listed<ifinfomsg>& link : links) {
    if (name_of(link).starts_with(prefix)) names.emplace_back(name_of(link));
  }
  return names;
}

base::Result<> add_address(const NetlinkSocket& socket, const std::string& name, const base::IpAddress& address,
                           std::uint8_t prefix) {
  EBB_TRY(const int index, index_of(socket, name));
  NetlinkRequest request;
  request.begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  ifaddrmsg message{};
  message.ifa_family = static_cast<std::uint8_t>(family_of(address));
  message.ifa_prefixlen = prefix;
  message.ifa_flags = IFA_F_NODAD;
  message.ifa_index = static_cast<std::uint32_t>(index);
  request.header(message);
  request.attribute(IFA_LOCAL, bytes_of(address));
  request.attribute(IFA_ADDRESS, bytes_of(address));
  return socket.perform(request, "give the interface " + name + " the address " + base::to_string(address));
}

base::Result<> add_route(const NetlinkSocket& socket, const std::string& name, const base::IpRange& target,
                         const base::IpAddress* gateway) {
  EBB_TRY(const int index, index_of(socket, name));
  NetlinkRequest request;
  request.begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  rtmsg message{};
  message.rtm_family = static_cast<std::uint8_t>(family_of(target.first));
  message.rtm_dst_len = target.prefix;
  message.rtm_table = RT_TABLE_MAIN;
  message.rtm_protocol = RTPROT_STATIC;
  message.rtm_scope = gateway == nullptr ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  message.rtm_type = RTN_UNICAST;
  request.header(message);
  if (target.prefix > 0) request.attribute(RTA_DST, bytes_of(target.first));
  if (gateway != nullptr) request.attribute(RTA_GATEWAY, bytes_of(*gateway));
  request.attribute_u32(RTA_OIF, static_cast<std::uint32_t>(index));
  return socket.perform(request, "route " + base::to_string(target) + " through the interface " + name);
}

base::Result<std::vector<base::IpRange>> routes(const NetlinkSocket& socket, base::IpFamily family) {
  EBB_TRY(const std::vector<Listed<rtmsg>> found, all_routes(socket, family));
  std::vector<base::IpRange> targets;
  for (const Listed<rtmsg>& route : found) {
    base::IpRange target{.first = {.family = family, .bytes = {}}, .prefix = route.head.rtm_dst_len};
    const std::string_view bytes = find_attribute(route.attributes, RTA_DST);
    if (route.head.rtm_table != RT_TABLE_MAIN || bytes.size() > target.first.size()) continue;
    std::memcpy(target.first.bytes.data(), bytes.data(), bytes.size());
    targets.push_back(target);
  }
  return targets;
}

base::Result<std::vector<std::string>> default_route_links(const NetlinkSocket& socket, base::IpFamily family) {
  EBB_TRY(const std::vector<Listed<rtmsg>> found, all_routes(socket, family));
  std::vector<std::uint32_t> indices;
  for (const Listed<rtmsg>& route : found) {
    if (route.head.rtm_dst_len != 0 || route.head.rtm_type != RTN_UNICAST) continue;
    const std::string_view out = find_attribute(route.attributes, RTA_OIF);
    std::uint32_t index = 0;
    if (out.size() != sizeof index) continue;
    std::memcpy(&index, out.data(), sizeof index);
    indices.push_back(index);
  }
  EBB_TRY(const std::vector<Listed<ifinfomsg>> links, all_links(socket));
  std::vector<std::string> names;
  for (const Listed<ifinfomsg>& link : links) {
    const auto index = static_cast<std::uint32_t>(link.head.ifi_index);
    if (std::find(indices.begin(), indices.end(), index) != indices.end()) names.emplace_back(name_of(link));
  }
  return names;
}

}  // namespace ebb::os
