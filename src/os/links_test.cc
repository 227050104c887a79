// Goal: interfaces, routes and set elements are what was asked for, and a table with an owner goes with it. Method:
// real requests in network namespaces of the test's own, in a child process; skipped where the kernel refuses them.
#include "os/links.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "os/network_namespace.h"
#include "os/nft.h"

namespace ebb::os {
namespace {

constexpr int kSkipped = 77;

// A child process, so that the test's own namespace stays what it was.
void in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::unshare(CLONE_NEWNET) == 0 ? work() : kSkipped);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "network namespaces, veth or nftables are not to be had here";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "at line " << WEXITSTATUS(status);
}

#define NEED(condition) \
  if (!(condition)) return __LINE__ % 256

TEST(Links, VethAddressesAndRoutes) {
  in_child([] {
    const auto home = present_network_namespace();
    const auto other = make_network_namespace();
    NEED(home && other);
    const auto here = NetlinkSocket::open(NETLINK_ROUTE);
    NEED(here);
    if (const auto made = make_veth(*here, "a0", "a1"); !made) return kSkipped;
    NEED(!make_veth(*here, "a0", "a2"));
    NEED(move_link(*here, "a1", *other, "eth0"));
    NEED(add_address(*here, "a0", *base::parse_ip("198.18.0.1"), 32));
    NEED(raise_link(*here, "a0"));
    NEED(add_route(*here, "a0", *base::parse_ip_range("198.18.0.9")));
    const auto again = add_route(*here, "a0", *base::parse_ip_range("198.18.0.9"));
    NEED(!again && again.error().os_errno == EEXIST);
    NEED(within_network_namespace(*home, *other, [&]() -> base::Result<> {
      EBB_TRY(const NetlinkSocket there, NetlinkSocket::open(NETLINK_ROUTE));
      EBB_CHECKED(raise_link(there, "eth0"));
      EBB_CHECKED(add_address(there, "eth0", *base::parse_ip("198.18.0.9"), 32));
      const base::IpAddress gateway = *base::parse_ip("198.18.0.1");
      EBB_CHECKED(add_route(there, "eth0", *base::parse_ip_range("198.18.0.1")));
      EBB_CHECKED(add_route(there, "eth0", *base::parse_ip_range("0.0.0.0/0"), &gateway));
      EBB_TRY(const auto names, default_route_links(there, base::IpFamily::kV4));
      if (names != std::vector<std::string>{"eth0"}) return base::internal("other default routes");
      return {};
    }));
    NEED(links_named(*here, "a").value() == std::vector<std::string>{"a0"});
    NEED(remove_link(*here, "a0"));
    NEED(links_named(*here, "a").value().empty());
    return 0;
  });
}

TEST(Nft, RulesElementsAndOwners) {
  in_child([] {
    const std::string sets =
        "set one { type ipv4_addr . ipv4_addr . inet_service; flags interval; }\n"
        "set names { type ipv4_addr . ipv4_addr; flags timeout; }\n}\n";
    const auto rules = NftRules::load("table inet t {\n" + sets);
    if (!rules) return kSkipped;
    const auto refused = NftRules::load("table inet t { nonsense }");
    NEED(!refused && refused.error().code == base::Code::kUnavailable);
    const auto elements = NftElements::open("t");
    NEED(elements);
    const std::string source("\xc6\x12\x00\x04", 4);
    const NftElement range{.key = source + std::string("\xcb\x00\x71\x00", 4) + std::string("\x01\xbb\x00\x00", 4),
                           .key_end = source + std::string("\xcb\x00\x71\xff", 4) + std::string("\x01\xbb\x00\x00", 4)};
    NEED(elements->add("one", {range}));
    NEED(elements->add("one", {range}));
    NEED(elements->remove("one", {range}));
    const auto missing = elements->remove("one", {range});
    NEED(!missing && missing.error().os_errno == ENOENT);
    const NftElement name{.key = source + source, .key_end = {}, .timeout = std::chrono::seconds(60)};
    NEED(elements->add("names", {name}));
    NEED(elements->remove("names", {name}));
    NEED(!elements->add("absent", {name}));
    {
      const auto owned = NftRules::load("table inet mine {\nflags owner;\nset s { type ipv4_addr; }\n}\n");
      NEED(owned);
      NEED(!NftRules::load("add element inet mine s { 192.0.2.1 }\n"));
    }
    NEED(NftRules::load("table inet mine {\nset s { type ipv4_addr; }\n}\n"));
    return 0;
  });
}

}  // namespace
}  // namespace ebb::os
