#include "doctor/programs.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "base/clock.h"
#include "os/clone.h"

namespace ebb::doctor {
namespace {

constexpr std::chrono::seconds kPatience(10);
constexpr std::size_t kOutputBytes = 4096;

int status_of(pid_t pid) {
  int status = -1;
  while (::waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  return status;
}

// One netlink request, built attribute by attribute.
class NetlinkRequest {
 public:
  template <typename Body>
  NetlinkRequest(int type, int flags, const Body& body) {
    header()->nlmsg_type = static_cast<std::uint16_t>(type);
    header()->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    std::memcpy(bytes_.data() + NLMSG_HDRLEN, &body, sizeof body);
    header()->nlmsg_len = NLMSG_LENGTH(sizeof body);
  }
  std::size_t open(int type) {
    const std::size_t at = NLMSG_ALIGN(header()->nlmsg_len);
    const nlattr attribute{.nla_len = NLA_HDRLEN, .nla_type = static_cast<std::uint16_t>(type)};
    std::memcpy(bytes_.data() + at, &attribute, sizeof attribute);
    header()->nlmsg_len = static_cast<std::uint32_t>(at + NLA_HDRLEN);
    return at;
  }
  void add(const void* data, std::size_t size) {
    std::memcpy(bytes_.data() + header()->nlmsg_len, data, size);
    header()->nlmsg_len += static_cast<std::uint32_t>(size);
  }
  void close(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(header()->nlmsg_len - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
    header()->nlmsg_len = NLMSG_ALIGN(header()->nlmsg_len);
  }
  void add_text(int type, const char* text) {
    const std::size_t at = open(type);
    add(text, std::strlen(text) + 1);
    close(at);
  }
  /// The kernel's answer: 0, or an errno.
  int send(int protocol) const {
    const os::Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (!socket.valid()) return errno;
    if (::send(socket.get(), bytes_.data(), header()->nlmsg_len, 0) < 0) return errno;
    alignas(nlmsghdr) std::array<char, 4096> answer{};
    pollfd wait{.fd = socket.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, 2'000) != 1) return ETIMEDOUT;
    const ssize_t got = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (got < static_cast<ssize_t>(NLMSG_HDRLEN)) return EPROTO;
    const auto* reply = reinterpret_cast<const nlmsghdr*>(answer.data());
    if (reply->nlmsg_type != NLMSG_ERROR) return 0;
    return -static_cast<const nlmsgerr*>(NLMSG_DATA(reply))->error;
  }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  const nlmsghdr* header() const { return reinterpret_cast<const nlmsghdr*>(bytes_.data()); }
  alignas(nlmsghdr) std::array<char, 512> bytes_{};
};

int make_veth() {
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  request.add_text(IFLA_IFNAME, "ebb0");
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.add_text(IFLA_INFO_KIND, "veth");
  const std::size_t data = request.open(IFLA_INFO_DATA);
  const std::size_t peer = request.open(VETH_INFO_PEER);
  const ifinfomsg none{};
  request.add(&none, sizeof none);
  request.add_text(IFLA_IFNAME, "ebb1");
  request.close(peer);
  request.close(data);
  request.close(info);
  return request.send(NETLINK_ROUTE);
}

// Asking for the generation of the rules is the least that nf_tables answers.
int ask_nftables() {
  const nfgenmsg family{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  const NetlinkRequest request((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, 0, family);
  return request.send(NETLINK_NETFILTER);
}

// In a network namespace of its own, which ends with the child: the host's network is not touched.
void probe_network(Host& host) {
  const base::Result<os::ChildProcess> child = os::clone_process(CLONE_NEWNET);
  if (!child) return;
  if (child->pid == 0) ::_exit((make_veth() == 0 ? 1 : 0) | (ask_nftables() == 0 ? 2 : 0));
  const int status = status_of(child->pid);
  if (!WIFEXITED(status)) return;
  host.veth = (WEXITSTATUS(status) & 1) != 0;
  host.nftables = (WEXITSTATUS(status) & 2) != 0;
}

}  // namespace

std::optional<std::string> output_of(const std::vector<std::string>& argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  const os::Fd read_end(ends[0]);
  os::Fd write_end(ends[1]);
  const base::Result<os::ChildProcess> child = os::clone_process(0);
  if (!child) return std::nullopt;
  if (child->pid == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(write_end.get(), 1);
    ::dup2(null, 2);
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execvp(words.front(), words.data());
    ::_exit(127);
  }
  write_end.reset();
  std::string output;
  const base::SteadyTime deadline = base::steady_now() + kPatience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - base::steady_now()).count();
    pollfd wait{.fd = read_end.get(), .events = POLLIN, .revents = 0};
    std::array<char, 1024> block{};
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) != 1) {
      ::kill(child->pid, SIGKILL);
      break;
    }
    const ssize_t got = ::read(read_end.get(), block.data(), block.size());
    if (got <= 0) break;
    if (output.size() < kOutputBytes) output.append(block.data(), static_cast<std::size_t>(got));
  }
  pollfd end{.fd = child->pidfd.get(), .events = POLLIN, .revents = 0};
  if (::poll(&end, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1) ::kill(child->pid, SIGKILL);
  if (status_of(child->pid) != 0) return std::nullopt;
  return output;
}

void probe_programs(Host& host, const Wanted& wanted) {
  const auto first_line = [](std::string text) { return text.substr(0, text.find('\n')); };
  if (auto version =
          output_of({wanted.python, "-I", "-S", "-c", "import platform; print(platform.python_version())"})) {
    host.python_version = first_line(std::move(*version));
  }
  if (auto version = output_of({wanted.runsc, "--version"})) host.runsc_version = first_line(std::move(*version));
  host.nft_program =
      output_of({"nft", "--version"}).has_value() || output_of({"/usr/sbin/nft", "--version"}).has_value();
  if (host.root) probe_network(host);
}

}  // namespace ebb::doctor
