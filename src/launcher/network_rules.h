// The filter between sandboxes and the world, as text for nftables, and the addresses it speaks of.
//
// Two rule sets. The *router's* lies in a network namespace of the launcher's own, through which every packet of a
// sandbox goes: it says who reaches what. The *host's* keeps what leaves the router out of the host itself and gives it
// the host's address. Both refuse by default. Pure functions; loaded by NetworkRouter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip.h"

namespace ebb::launcher {

/// What the operator decides (model/config.h).
struct EgressOptions {
  base::IpRange pool4{.first = base::ipv4(0xc612'0000), .prefix = 15};
  base::IpRange pool6{.first = {.family = base::IpFamily::kV6, .bytes = {0xfd, 0x65, 0x62, 0x62}}, .prefix = 64};
  std::vector<base::IpRange> never;     // reached by nobody
  std::vector<base::IpRange> reserved;  // reached only where `permitted` holds them: private networks
  std::vector<base::IpRange> permitted;
};

/// The part of the pools that one node has. Sandbox number n has the nth address of both.
struct EgressSlice {
  base::IpRange range4;
  base::IpRange range6;

  base::IpAddress address4(std::uint32_t number) const { return base::nth(range4.first, number); }
  base::IpAddress address6(std::uint32_t number) const { return base::nth(range6.first, number); }
  /// Sandboxes have the numbers from kFirstSandbox to this, both included.
  std::uint32_t last_sandbox() const;
};

inline constexpr std::uint32_t kHostNumber = 2;    // the host's end of the way out
inline constexpr std::uint32_t kRouterNumber = 3;  // the router's
inline constexpr std::uint32_t kFirstSandbox = 4;

/// How many slices the pools have, and one of them.
std::uint32_t slice_count(const EgressOptions& options);
EgressSlice slice_of(const EgressOptions& options, std::uint32_t number);

/// Every sandbox's gateway and resolver. The same in each router, because sandboxes' files name it.
base::IpAddress gateway4(const EgressOptions& options);
base::IpAddress gateway6(const EgressOptions& options);

/// Link-local, for the ends of pairs that forward: without one the kernel asks nobody for the hardware address of
/// another's packet's next hop. Sandboxes have none.
base::IpAddress neighbour_address(std::uint8_t number);

inline constexpr const char* kRouterTable = "ebb";
std::string router_rules(const EgressOptions& options);
/// An interface of the host that forwards only since we asked for it, and so only for us.
struct MadeForwarding {
  std::string setting;  // file of /proc/sys that held 0
  std::string name;
  base::IpFamily family = base::IpFamily::kV4;
};
/// `uplink`: the host's end.
std::string host_rules(const std::string& uplink, const EgressSlice& slice,
                       const std::vector<MadeForwarding>& made_forwarding);

}  // namespace ebb::launcher
