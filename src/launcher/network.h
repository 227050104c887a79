// The network of sandboxes that may reach out: who has which address, and what each may reach.
//
// 1. A link belongs to one network namespace: a function zygote with its instances, or an instance with one of its own.
// It is there before user code runs and gone from the filter when its owner is. 2. What a link may reach is in sets
// that all share (network_rules.h); no rule is made for a link. 3. Interfaces are made ahead, in idle moments; the
// kernel takes them down with the namespace they are in. 4. Addresses are given in turn, so that a fresh sandbox does
// not begin with what the network still remembers of the last. Called by Fleet; outlives daemons.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "launcher/network_router.h"
#include "launcher/network_rules.h"
#include "launcher/poller.h"
#include "os/fd.h"
#include "wire/launcher_protocol.h"

namespace ebb::launcher {

class Network {
 public:
  Network(Poller& poller, EgressOptions options, std::string owner)
      : poller_(poller), options_(std::move(options)), owner_(std::move(owner)) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Makes what all links share, the first time. Errors: kUnavailable with what the host lacks; tried again next time.
  base::Result<> open();
  /// Copies of the sockets that sandboxes' resolvers ask. After open().
  base::Result<os::Fd> resolver_udp() const;
  base::Result<os::Fd> resolver_tcp() const;
  /// What sandboxes' resolv.conf says, whether anything listens there or not.
  std::string resolver_address() const { return base::to_string(gateway4(options_)); }

  /// Connects the network namespace of the process. Errors: kResourceExhausted, and the kernel's; nothing stays then.
  /// Cost: a dozen requests to the kernel, about a millisecond.
  base::Result<wire::Linked> attach(const os::Fd& process, const wire::MakeVersion& version);
  void release(std::uint32_t link);
  /// Errors: kNotFound when there is no such link, or it is not one that reaches what is listed.
  base::Result<> allow(const wire::AllowAddresses& wanted);

  std::size_t links() const { return links_.size(); }

 private:
  struct Link {
    std::uint32_t number = 0;  // its addresses
    bool listed = false;
    std::map<std::string, std::vector<os::NftElement>> lasting;  // of a set: added and removed in one transaction each
    std::map<std::pair<std::string, std::string>, base::SteadyTime> timed;  // set and key, until when
  };
  struct Pair {
    std::uint32_t number = 0;  // of its names: v7 and s7
  };

  base::Result<Pair> make_pair();
  void refill();
  base::Result<std::uint32_t> free_number();
  base::Result<> connect(const os::Fd& process, const Pair& pair, std::uint32_t number);
  base::Result<> configure_inside(std::uint32_t number);
  base::Result<> permit(Link& link, const wire::MakeVersion& version);
  void forget(const Link& link);

  Poller& poller_;
  const EgressOptions options_;
  const std::string owner_;
  std::unique_ptr<NetworkRouter> router_;
  std::deque<Pair> pairs_;
  std::uint32_t pairs_made_ = 0;
  std::uint32_t next_link_ = 1;
  std::uint32_t next_number_ = kFirstSandbox;
  std::map<std::uint32_t, Link> links_;
};

}  // namespace ebb::launcher
