#include "doctor/programs.h"

#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "base/clock.h"
#include "os/clone.h"
#include "os/links.h"
#include "os/netlink.h"

namespace ebb::doctor {
namespace {

constexpr std::chrono::seconds kPatience(10);
constexpr std::size_t kOutputBytes = 4096;

bool can_make_veth() {
  const auto socket = os::NetlinkSocket::open(NETLINK_ROUTE);
  return socket && os::make_veth(*socket, "ebb0", "ebb1");
}

// Asking for the generation of the rules is the least that nf_tables answers.
bool has_nftables() {
  const auto socket = os::NetlinkSocket::open(NETLINK_NETFILTER);
  os::NetlinkRequest request;
  request.begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, NLM_F_ACK);
  request.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0});
  return socket && socket->perform(request, "ask for nftables");
}

// In a network namespace of its own, which ends with the child: the host's network is not touched.
void probe_network(Host& host) {
  const base::Result<os::ChildProcess> child = os::clone_process(CLONE_NEWNET);
  if (!child) return;
  if (child->pid == 0) ::_exit((can_make_veth() ? 1 : 0) | (has_nftables() ? 2 : 0));
  const int status = os::wait_status_of(child->pid);
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
    if (null < 0) ::_exit(127);
    ::dup2(null, 0);
    ::dup2(write_end.get(), 1);
    ::dup2(null, 2);
    std::vector<char*> words;
    words.reserve(argv.size() + 1);
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
  if (os::wait_status_of(child->pid) != 0) return std::nullopt;
  return output;
}

void probe_programs(Host& host, const Wanted& wanted) {
  const auto first_line = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  if (auto version =
          output_of({wanted.python, "-I", "-S", "-c", "import platform; print(platform.python_version())"})) {
    host.python_version = first_line(*version);
  }
  if (auto version = output_of({"/usr/bin/node", "--version"})) host.node_version = first_line(*version);
  if (auto version = output_of({"npm", "--version"})) host.npm_version = first_line(*version);
  if (auto version = output_of({wanted.runsc, "--version"})) host.runsc_version = first_line(*version);
  // Where the sandbox of a build finds it.
  if (auto version = output_of({"/usr/bin/skopeo", "--version"})) host.skopeo_version = first_line(*version);
  if (host.root) probe_network(host);
}

}  // namespace ebb::doctor
