// Network interfaces, addresses and routes, by rtnetlink. Every call is one request to the kernel.
//
// The socket says which namespace is meant. Names are at most 15 characters. Used by the launcher to connect sandboxes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/result.h"
#include "os/fd.h"
#include "os/netlink.h"

namespace ebb::os {

/// Two connected interfaces in the socket's namespace, both down. With a valid `peer_namespace` the peer begins there.
base::Result<> make_veth(const NetlinkSocket& socket, const std::string& name, const std::string& peer,
                         const Fd& peer_namespace = Fd());
/// Moves an interface to another namespace under a new name; it arrives down, without addresses.
base::Result<> move_link(const NetlinkSocket& socket, const std::string& name, const Fd& target,
                         const std::string& new_name);
/// Brings an interface up, without a link-local address.
base::Result<> raise_link(const NetlinkSocket& socket, const std::string& name);
base::Result<> remove_link(const NetlinkSocket& socket, const std::string& name);
/// Interfaces whose name begins so.
base::Result<std::vector<std::string>> links_named(const NetlinkSocket& socket, std::string_view prefix);

/// `address` of the prefix length, usable at once (no duplicate address detection).
base::Result<> add_address(const NetlinkSocket& socket, const std::string& name, const base::IpAddress& address,
                           std::uint8_t prefix);
/// Packets to `target` leave through the interface, to `gateway` if there is one. Errors: EEXIST when there is a route
/// to exactly this target.
base::Result<> add_route(const NetlinkSocket& socket, const std::string& name, const base::IpRange& target,
                         const base::IpAddress* gateway = nullptr);
/// What routes of the main table lead to.
base::Result<std::vector<base::IpRange>> routes(const NetlinkSocket& socket, base::IpFamily family);
/// Interfaces that default routes of the family lead through, without doubles.
base::Result<std::vector<std::string>> default_route_links(const NetlinkSocket& socket, base::IpFamily family);

}  // namespace ebb::os
