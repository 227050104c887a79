// The way out of sandboxes: a network namespace of the launcher's own between them and the host.
//
//   sandbox eth0 -- v7 [router: filter, resolver's sockets] up -- ebb1a2b3c4d [host: masquerade]
//
// 1. Everything but the host's end of one pair of interfaces, one route for each family and one small table lies in the
// router's namespace. All of it goes with the launcher, however that ends: nobody else holds the namespace, the pair
// goes with it, and the table has its owner. 2. Of the host's settings only the forwarding of its uplinks is touched,
// each on its own, and set back by the destructor. 3. No sandbox's address or policy is in the host's rules.
// Made by Network (network.h) when the first version asks for egress.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "launcher/network_rules.h"
#include "os/fd.h"
#include "os/links.h"
#include "os/nft.h"

namespace ebb::launcher {

class NetworkRouter {
 public:
  /// `owner` tells nodes of one host apart; it names the interface and the table. Errors: kUnavailable with what the
  /// host lacks.
  static base::Result<std::unique_ptr<NetworkRouter>> open(const EgressOptions& options, const std::string& owner);
  ~NetworkRouter();
  NetworkRouter(const NetworkRouter&) = delete;
  NetworkRouter& operator=(const NetworkRouter&) = delete;

  const EgressSlice& slice() const { return slice_; }
  bool has_ipv6() const { return has_ipv6_; }
  /// For interfaces and routes of the router.
  const os::NetlinkSocket& links() const { return *links_; }
  const os::NftElements& elements() const { return *elements_; }
  const os::Fd& host_namespace() const { return host_; }
  /// The sockets that resolvers of sandboxes ask, bound in the router.
  const os::Fd& resolver_udp() const { return resolver_udp_; }
  const os::Fd& resolver_tcp() const { return resolver_tcp_; }

 private:
  explicit NetworkRouter(const EgressOptions& options) : options_(options) {}
  base::Result<> build(const std::string& owner);
  base::Result<> claim_slice(const std::string& owner);
  base::Result<> connect_ipv6();
  base::Result<> furnish();
  base::Result<> open_resolver_sockets();
  base::Result<> plan_forwarding();
  base::Result<> forward_ipv6();

  const EgressOptions options_;
  os::Fd host_;
  os::Fd router_;
  std::unique_ptr<os::NetlinkSocket> host_links_;
  std::unique_ptr<os::NetlinkSocket> links_;
  std::unique_ptr<os::NftElements> elements_;
  std::unique_ptr<os::NftRules> host_rules_;
  std::string uplink_;
  EgressSlice slice_;
  bool has_ipv6_ = false;
  os::Fd resolver_udp_;
  os::Fd resolver_tcp_;
  std::vector<MadeForwarding> made_forwarding_;
};

}  // namespace ebb::launcher
