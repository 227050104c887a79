#include "launcher/network.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "base/log.h"
#include "os/network_namespace.h"

namespace ebb::launcher {
namespace {

using base::IpAddress;
using base::IpFamily;

std::string key_part(const IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.size()};
}

// Fields of a key are padded to 4 bytes.
std::string key_part(std::uint16_t port) {
  const char bytes[] = {static_cast<char>(port >> 8), static_cast<char>(port & 0xff), 0, 0};
  return {bytes, sizeof bytes};
}

bool same_file(const os::Fd& one, const os::Fd& other) {
  struct stat a{};
  struct stat b{};
  return ::fstat(one.get(), &a) == 0 && ::fstat(other.get(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

base::Result<os::Fd> copy_of(const os::Fd& fd) {
  os::Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return base::os_error("duplicate a descriptor", errno);
  return copy;
}

// The kernel refuses ranges of which one holds the other.
std::vector<wire::ReachRange> without_inner(const std::vector<wire::ReachRange>& ranges) {
  std::vector<wire::ReachRange> outer;
  for (const wire::ReachRange& one : ranges) {
    const auto holds = [&](const wire::ReachRange& other) {
      return other.port == one.port && other.range.contains(one.range);
    };
    if (std::any_of(outer.begin(), outer.end(), holds)) continue;
    std::erase_if(outer, [&](const wire::ReachRange& other) {
      return other.port == one.port && one.range.contains(other.range);
    });
    outer.push_back(one);
  }
  return outer;
}

}  // namespace

base::Result<> Network::open() {
  if (router_) return {};
  EBB_TRY(router_, NetworkRouter::open(options_, owner_));
  refill();
  return {};
}

base::Result<os::Fd> Network::resolver_udp() const { return copy_of(router_->resolver_udp()); }
base::Result<os::Fd> Network::resolver_tcp() const { return copy_of(router_->resolver_tcp()); }

base::Result<Network::Pair> Network::make_pair() {
  const Pair pair{.number = ++pairs_made_};
  const std::string outer = "v" + std::to_string(pair.number);
  const os::NetlinkSocket& links = router_->links();
  EBB_CHECKED(os::make_veth(links, outer, "s" + std::to_string(pair.number)));
  const auto furnish = [&]() -> base::Result<> {
    EBB_CHECKED(os::raise_link(links, outer));
    EBB_CHECKED(os::add_address(links, outer, gateway4(options_), 32));
    if (router_->has_ipv6()) {
      EBB_CHECKED(os::add_address(links, outer, gateway6(options_), 128));
      EBB_CHECKED(os::add_address(links, outer, neighbour_address(1), 64));
    }
    return {};
  };
  if (base::Result<> furnished = furnish(); !furnished) {
    static_cast<void>(os::remove_link(links, outer));
    return std::move(furnished).error();
  }
  return pair;
}

void Network::refill() {
  poller_.when_idle([this] {
    if (!router_ || pairs_.size() >= limits::kEgressLinksPremade) return;
    base::Result<Pair> pair = make_pair();
    if (!pair) {
      base::log(base::LogLevel::kWarning, "interfaces not made ahead", {{"error", pair.error().message}});
      return;  // tried again, and reported, when a sandbox needs them
    }
    pairs_.push_back(*pair);
    refill();
  });
}

base::Result<std::uint32_t> Network::free_number() {
  const std::uint32_t last = router_->slice().last_sandbox();
  for (std::uint32_t tried = kFirstSandbox; tried <= last; ++tried) {
    const std::uint32_t number = next_number_;
    next_number_ = number == last ? kFirstSandbox : number + 1;
    const auto taken = [&](const auto& entry) { return entry.second.number == number; };
    if (std::none_of(links_.begin(), links_.end(), taken)) return number;
  }
  return base::Error{.code = base::Code::kResourceExhausted, .message = "no address of egress_ipv4 is free"};
}

// In the sandbox's network namespace.
base::Result<> Network::configure_inside(std::uint32_t number) {
  const EgressSlice& slice = router_->slice();
  EBB_TRY(const os::NetlinkSocket links, os::NetlinkSocket::open(NETLINK_ROUTE));
  EBB_TRY(const os::Fd inside, links.network_namespace());
  if (same_file(inside, router_->host_namespace())) {
    return base::invalid_argument("the process has no network namespace of its own");
  }
  EBB_CHECKED(os::move_link(router_->links(), "s" + std::to_string(pairs_.front().number), inside, "eth0"));
  EBB_CHECKED(os::raise_link(links, "eth0"));
  const auto family = [&](const IpAddress& own, const IpAddress& gateway) -> base::Result<> {
    EBB_CHECKED(os::add_address(links, "eth0", own, base::single(own).prefix));
    EBB_CHECKED(os::add_route(links, "eth0", base::single(gateway)));
    const base::IpRange all{.first = {.family = own.family, .bytes = {}}, .prefix = 0};
    return os::add_route(links, "eth0", all, &gateway);
  };
  EBB_CHECKED(family(slice.address4(number), gateway4(options_)));
  if (router_->has_ipv6()) EBB_CHECKED(family(slice.address6(number), gateway6(options_)));
  return {};
}

base::Result<> Network::connect(const os::Fd& process, const Pair& pair, std::uint32_t number) {
  const std::string outer = "v" + std::to_string(pair.number);
  EBB_CHECKED(os::add_route(router_->links(), outer, base::single(router_->slice().address4(number))));
  if (router_->has_ipv6()) {
    EBB_CHECKED(os::add_route(router_->links(), outer, base::single(router_->slice().address6(number))));
  }
  return os::within_network_namespace(router_->host_namespace(), process,
                                      [this, number] { return configure_inside(number); });
}

base::Result<> Network::permit(Link& link, const wire::MakeVersion& version) {
  const EgressSlice& slice = router_->slice();
  const auto source = [&](IpFamily family) {
    return key_part(family == IpFamily::kV4 ? slice.address4(link.number) : slice.address6(link.number));
  };
  const auto name_of = [](const char* set, IpFamily family) {
    return set + std::string(family == IpFamily::kV4 ? "4" : "6");
  };
  if (version.reach == wire::Reach::kPublic) {
    for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
      link.lasting[name_of("open", family)].push_back({.key = source(family)});
    }
  }
  for (const wire::ReachRange& one : without_inner(version.ranges)) {
    const IpFamily family = one.range.first.family;
    const std::string port = one.port == 0 ? "" : key_part(one.port);
    link.lasting[name_of(one.port == 0 ? "nets" : "ports", family)].push_back(
        {.key = source(family) + key_part(one.range.first) + port,
         .key_end = source(family) + key_part(one.range.last()) + port});
  }
  for (const auto& [set, elements] : link.lasting) EBB_CHECKED(router_->elements().add(set, elements));
  return {};
}

void Network::forget(const Link& link) {
  // What is not there any more has timed out.
  for (const auto& [set, elements] : link.lasting) static_cast<void>(router_->elements().remove(set, elements));
  for (const auto& [element, until] : link.timed) {
    static_cast<void>(router_->elements().remove(element.first, {os::NftElement{.key = element.second}}));
  }
}

base::Result<wire::Linked> Network::attach(const os::Fd& process, const wire::MakeVersion& version) {
  EBB_CHECKED(open());
  if (links_.size() >= limits::kEgressLinks) {
    return base::Error{.code = base::Code::kResourceExhausted,
                       .message = "this node has its most of " + std::to_string(limits::kEgressLinks) +
                                  " sandboxes with network: egress"};
  }
  if (pairs_.empty()) {
    EBB_TRY(const Pair made, make_pair());
    pairs_.push_back(made);
  }
  EBB_TRY(const std::uint32_t number, free_number());
  Link link{.number = number, .listed = version.reach == wire::Reach::kListed};
  const Pair pair = pairs_.front();
  base::Result<> connected = connect(process, pair, number);
  pairs_.pop_front();
  refill();
  if (connected) connected = permit(link, version);
  if (!connected) {
    forget(link);
    static_cast<void>(os::remove_link(router_->links(), "v" + std::to_string(pair.number)));
    return std::move(connected).error();
  }
  const std::uint32_t id = next_link_++;
  links_.emplace(id, std::move(link));
  return wire::Linked{.version = version.version, .link = id, .address = router_->slice().address4(number)};
}

void Network::release(std::uint32_t link) {
  const auto found = links_.find(link);
  if (found == links_.end()) return;
  forget(found->second);
  links_.erase(found);
}

base::Result<> Network::allow(const wire::AllowAddresses& wanted) {
  const auto found = links_.find(wanted.link);
  if (found == links_.end() || !found->second.listed) return base::not_found("there is no such link with a list");
  Link& link = found->second;
  const base::SteadyTime now = base::steady_now();
  // Given for twice the time that is needed, so that most answers about the same name change nothing.
  const auto needed = std::clamp<std::chrono::milliseconds>(std::chrono::seconds(wanted.seconds),
                                                            limits::kEgressAddressMin, limits::kEgressAddressMax);
  const auto lasting = 2 * needed;
  std::erase_if(link.timed, [&](const auto& entry) { return entry.second < now; });
  for (const wire::ReachRange& target : wanted.targets) {
    const IpAddress& address = target.range.first;
    if (target.range != base::single(address)) return base::invalid_argument("a range where an address is meant");
    const bool v4 = address.family == IpFamily::kV4;
    const EgressSlice& slice = router_->slice();
    const std::string key = key_part(v4 ? slice.address4(link.number) : slice.address6(link.number)) +
                            key_part(address) + (target.port == 0 ? "" : key_part(target.port));
    const std::string set = std::string(target.port == 0 ? "names" : "nameports") + (v4 ? "4" : "6");
    const auto known = link.timed.find({set, key});
    if (known != link.timed.end() && known->second - now > needed) continue;
    if (known == link.timed.end() && link.timed.size() >= limits::kEgressAddresses) {
      return base::Error{.code = base::Code::kResourceExhausted, .message = "its names stand for too many addresses"};
    }
    // An element that is there keeps its old time: it goes first.
    if (known != link.timed.end()) {
      static_cast<void>(router_->elements().remove(set, {os::NftElement{.key = key}}));
    }
    EBB_CHECKED(router_->elements().add(set, {os::NftElement{.key = key, .key_end = {}, .timeout = lasting}}));
    link.timed[{set, key}] = now + lasting;
  }
  return {};
}

}  // namespace ebb::launcher
