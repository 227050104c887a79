#include "launcher/gvisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/limits.h"
#include "launcher/sandbox_root.h"
#include "os/clone.h"
#include "os/mounts.h"
#include "os/path.h"
#include "os/pidfd.h"
#include "os/seqpacket.h"

namespace ebb::launcher {
namespace {

constexpr int kStarterPatienceMs = 5'000;
constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;

// Descriptors of an order, in this order; the layer is last because it may be missing.
enum : std::size_t { kGo, kChannel, kOut, kErr, kPackage, kLayer };

struct Starter {
  std::string runsc;
  std::string python;
  os::Fd runtime;
};

// The paths in it were checked by start(): nothing needs escaping.
std::string bundle_of(const Starter& starter, std::uint32_t uid_first) {
  const std::string ids = R"([{"containerID":0,"hostID":)" + std::to_string(uid_first) + R"(,"size":)" +
                          std::to_string(kIdsPerSandbox) + "}]";
  return R"({"ociVersion":"1.0.2","hostname":"ebb","root":{"path":")" + std::string(kStagedRoot) +
         R"(","readonly":true},"process":{"user":{"uid":1000,"gid":1000},"cwd":"/","noNewPrivileges":true,"args":[")" +
         starter.python +
         R"(","-I","-S","-B","/ebb/runtime/python/fresh.py","0"],"env":["PATH=/usr/local/bin:/usr/bin:/bin",)"
         R"("HOME=/tmp","LANG=C.UTF-8"],"capabilities":{},"rlimits":[{"type":"RLIMIT_NOFILE","hard":4096,"soft":1024}]},)"
         R"("mounts":[{"destination":"/proc","type":"proc","source":"proc"},)"
         R"({"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=1777"]},)"
         R"({"destination":"/dev","type":"tmpfs","source":"tmpfs"},)"
         R"({"destination":"/dev/shm","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=1777"]}],)"
         R"("linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},)"
         R"({"type":"user"}],"uidMappings":)" +
         ids + R"(,"gidMappings":)" + ids + "}}";
}

base::Result<> write_bundle(const os::Fd& stage, const std::string& text) {
  const os::Fd file(::openat(stage.get(), "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return base::os_error("make config.json", errno);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return base::os_error("write config.json", errno);
  }
  if (::mkdirat(stage.get(), "state", 0700) != 0) return base::os_error("make runsc's state", errno);
  return {};
}

base::Result<> become_runsc(const Starter& starter, const os::Received& order, const RootPlan& plan,
                            std::uint32_t uid_first) {
  EBB_TRY(const os::Fd stage, stage_root(plan));
  EBB_CHECKED(write_bundle(stage, bundle_of(starter, uid_first)));
  const int sources[] = {order.fds[kChannel].get(), order.fds[kOut].get(), order.fds[kErr].get()};
  for (int target = 0; target < 3; ++target) {
    if (::dup2(sources[target], target) != target) return base::os_error("arrange descriptors", errno);
  }
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return base::os_error("close descriptors", errno);
  const char* const argv[] = {"runsc", "--root",   "/tmp/state", "--ignore-cgroups", "--network=none",
                              "run",   "--bundle", "/tmp",       "instance",         nullptr};
  const char* const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  ::execve(starter.runsc.c_str(), const_cast<char* const*>(argv), const_cast<char* const*>(env));
  return base::os_error("start " + starter.runsc, errno);
}

[[noreturn]] void be_instance(const Starter& starter, const os::Received& order, const RootPlan& plan,
                              std::uint32_t uid_first) {
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGKILL));
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::signal(number, SIG_DFL);
  char go = 0;
  if (::read(order.fds[kGo].get(), &go, 1) != 1) ::_exit(1);  // the launcher gave it up, or died
  ::setsid();
  ::umask(022);
  const base::Result<> failed = become_runsc(starter, order, plan, uid_first);
  ::dprintf(order.fds[kErr].get(), "ebb: gvisor: %s\n", failed.error().message.c_str());
  ::_exit(1);
}

// Answers "PID" with its pidfd, or "!reason".
void perform(const Starter& starter, const os::Fd& socket, const os::Received& order) {
  std::uint32_t uid_first = 0;
  std::from_chars(order.bytes.data(), order.bytes.data() + order.bytes.size(), uid_first);
  const auto refuse = [&](const base::Error& error) {
    static_cast<void>(os::send_message(socket, "!" + error.message));
  };
  // Here, where the descriptors' mounts are our own: in another mount namespace the kernel lets nobody copy them.
  const base::Result<RootPlan> plan = plan_root({.runtime = starter.runtime.get(),
                                                 .layer = order.fds.size() > kLayer ? order.fds[kLayer].get() : -1,
                                                 .package = order.fds[kPackage].get(),
                                                 .tmp_bytes = limits::kTmpBytes,
                                                 .tmp_inodes = kTmpInodes});
  if (!plan) return refuse(plan.error());
  // A sibling of ours: the launcher reaps it.
  const base::Result<os::ChildProcess> child = os::clone_process(kNamespaces | CLONE_PARENT);
  if (child && child->pid == 0) be_instance(starter, order, *plan, uid_first);
  if (!child) return refuse(child.error());
  const int pidfd = child->pidfd.get();
  static_cast<void>(os::send_message(socket, std::to_string(child->pid), std::span(&pidfd, 1)));
}

[[noreturn]] void be_starter(const Starter& starter, const os::Fd& socket) {
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGKILL));
  static_cast<void>(::prctl(PR_SET_NAME, "ebb-gvisor"));
  // Those of a terminal or a service's end are for the launcher to act on; it is needed until that has drained.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::signal(number, SIG_IGN);
  pollfd wait{.fd = socket.get(), .events = POLLIN, .revents = 0};
  for (;;) {
    if (::poll(&wait, 1, -1) < 0 && errno != EINTR) ::_exit(1);
    const base::Result<std::optional<os::Received>> order = os::recv_message(socket);
    if (!order || (*order && (*order)->bytes.empty())) ::_exit(0);  // the launcher has died
    if (*order && (*order)->fds.size() > kPackage) perform(starter, socket, **order);
  }
}

bool is_plain_path(const std::string& path) {
  return path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char letter) {
           return letter != '"' && letter != '\\' && static_cast<unsigned char>(letter) >= 0x20;
         });
}

}  // namespace

base::Result<std::unique_ptr<GvisorStarter>> GvisorStarter::start(const std::string& runsc, const std::string& python,
                                                                  const os::Fd& runtime) {
  if (!is_plain_path(runsc) || !is_plain_path(python)) {
    return base::invalid_argument("runsc and python must be absolute paths of plain characters for gVisor");
  }
  EBB_TRY(auto sockets, os::seqpacket_pair());
  Starter starter{.runsc = runsc, .python = python, .runtime = os::Fd(::fcntl(runtime.get(), F_DUPFD_CLOEXEC, 3))};
  if (!starter.runtime.valid()) return base::os_error("duplicate a descriptor", errno);
  EBB_TRY(const os::ChildProcess child, os::clone_process(0));
  if (child.pid == 0) {
    sockets.first.reset();
    be_starter(starter, sockets.second);
  }
  return std::unique_ptr<GvisorStarter>(new GvisorStarter(std::move(sockets.first)));
}

base::Result<StartedSandbox> GvisorStarter::start_instance(const os::CgroupTree& cgroups, const GvisorSpec& spec) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::os_error("make a pipe", errno);
  os::Fd wait_end(ends[0]);
  const os::Fd go_end(ends[1]);
  std::vector<int> fds = {wait_end.get(), spec.channel.get(), spec.out.get(), spec.err.get(), spec.package.get()};
  if (spec.layer.valid()) fds.push_back(spec.layer.get());
  EBB_CHECKED(os::send_message(socket_, std::to_string(spec.uid_first), fds));
  wait_end.reset();
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, kStarterPatienceMs) != 1) return base::unavailable("the starter of gVisor does not answer");
  EBB_TRY(std::optional<os::Received> answer, os::recv_message(socket_));
  if (!answer || answer->bytes.empty()) {
    return base::unavailable("the starter of gVisor has ended; start ebb serve again");
  }
  if (answer->fds.size() != 1) return base::unavailable("gVisor: " + answer->bytes.substr(1));
  StartedSandbox started{.pidfd = std::move(answer->fds.front())};
  std::from_chars(answer->bytes.data(), answer->bytes.data() + answer->bytes.size(), started.pid);
  base::Result<> gone = cgroups.admit(spec.cgroup, started.pid);
  if (gone && ::write(go_end.get(), "g", 1) == 1) return started;
  // Its go never comes: it ends by itself, and is reaped here.
  os::kill_and_reap(started.pidfd);
  return gone ? base::internal("gVisor: no go") : std::move(gone).error();
}

std::string find_program(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? name : "";
  }
  const char* path = std::getenv("PATH");
  std::string_view folders = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!folders.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folders.size(), folder.size() + 1));
    const std::string program = std::string(folder) + "/" + name;
    if (folder.starts_with('/') && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

}  // namespace ebb::launcher
