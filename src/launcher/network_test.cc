// Goal: a sandbox gets a way out and loses it without a trace. Method: the real thing in a network namespace of the
// test's own that stands for the host, in a child process; skipped where the kernel refuses it. What passes and what
// does not is tried by tests/security/test_network.py.
#include "launcher/network.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "base/limits.h"
#include "os/clone.h"
#include "os/network_namespace.h"

namespace ebb::launcher {
namespace {

constexpr int kSkipped = 77;
constexpr int kFailed = 1;

#define NEED(condition)                                                          \
  if (!(condition)) {                                                            \
    std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    return kFailed;                                                              \
  }

/// A process in user and network namespaces of its own, as a zygote is.
os::ChildProcess sandbox_process() {
  base::Result<os::ChildProcess> child = os::clone_process(CLONE_NEWUSER | CLONE_NEWNET);
  if (child && child->pid == 0) {
    ::pause();
    ::_exit(0);
  }
  return child ? std::move(*child) : os::ChildProcess{};
}

std::vector<std::string> links_of(const os::Fd& process) {
  std::vector<std::string> names;
  const auto home = os::present_network_namespace();
  static_cast<void>(os::within_network_namespace(*home, process, [&]() -> base::Result<> {
    EBB_TRY(const os::NetlinkSocket socket, os::NetlinkSocket::open(NETLINK_ROUTE));
    EBB_TRY(names, os::default_route_links(socket, base::IpFamily::kV4));
    return {};
  }));
  return names;
}

int attach_and_release() {
  auto poller = Poller::open();
  NEED(poller);
  EgressOptions options;
  options.never = {*base::parse_ip_range("127.0.0.0/8")};
  const auto host = os::NetlinkSocket::open(NETLINK_ROUTE);
  NEED(host);
  {
    Network network(*poller, options, "ebb-01234567");
    if (const auto opened = network.open(); !opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      return kSkipped;
    }
    NEED(os::links_named(*host, "ebb").value() == std::vector<std::string>{"ebb01234567"});
    NEED(network.resolver_udp() && network.resolver_tcp());

    wire::MakeVersion version{.version = base::VersionId{5}, .reach = wire::Reach::kListed};
    version.ranges = {{.range = *base::parse_ip_range("192.0.2.7")},
                      {.range = *base::parse_ip_range("192.0.2.0/24")},
                      {.range = *base::parse_ip_range("192.0.2.0/24"), .port = 443},
                      {.range = *base::parse_ip_range("192.0.2.9"), .port = 80},
                      {.range = *base::parse_ip_range("2001:db8::/32")}};
    std::vector<os::ChildProcess> processes;
    std::vector<std::uint32_t> links;
    for (int i = 0; i < 5; ++i) {
      processes.push_back(sandbox_process());
      const auto linked = network.attach(processes.back().pidfd, version);
      if (!linked) std::fprintf(stderr, "%s\n", linked.error().message.c_str());
      NEED(linked);
      NEED(linked->version == version.version);
      NEED(links_of(processes.back().pidfd) == std::vector<std::string>{"eth0"});
      links.push_back(linked->link);
    }
    NEED(network.links() == 5);
    // What is there already, what is no single address, who has no list.
    wire::AllowAddresses allow{
        .link = links[0], .seconds = 1, .targets = {{.range = *base::parse_ip_range("192.0.2.200")}}};
    NEED(network.allow(allow));
    NEED(network.allow(allow));
    allow.targets[0].port = 443;
    NEED(network.allow(allow));
    allow.targets[0].range = *base::parse_ip_range("192.0.2.0/24");
    NEED(!network.allow(allow));
    allow.link = 999;
    NEED(!network.allow(allow));
    for (const std::uint32_t link : links) network.release(link);
    network.release(links[0]);
    NEED(network.links() == 0);
    for (const os::ChildProcess& process : processes) {
      ::kill(process.pid, SIGKILL);
      ::waitpid(process.pid, nullptr, 0);
    }
    // A process of the host's own namespace is refused: its interface would be the host's.
    NEED(!network.attach(os::Fd(::dup(os::present_network_namespace()->get())), version));
  }
  NEED(os::links_named(*host, "ebb").value().empty());
  return 0;
}

TEST(Network, AttachesAndReleases) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::unshare(CLONE_NEWNET) == 0 ? attach_and_release() : kSkipped);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "network: egress is not to be had on this host";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ebb::launcher
