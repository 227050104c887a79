#include "launcher/sandbox_init.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "os/credentials.h"
#include "os/namespaces.h"
#include "os/scheduling.h"
#include "os/seqpacket.h"
#include "wire/message.h"
#include "wire/zygote_protocol.h"

namespace ebb::launcher {
namespace {

constexpr int kControlFd = 3;
constexpr int kGoTimeoutMs = 10'000;
constexpr rlim_t kOpenFiles = 1024;
constexpr rlim_t kOpenFilesMax = 4096;

// Waits for the answer of the socket, so that nothing is lost: the launcher always reads.
void send_blocking(const os::Fd& control, wire::ZygoteType type, std::string payload) {
  const std::string bytes =
      wire::encode(wire::Message{.type = static_cast<std::uint16_t>(type), .payload = std::move(payload)});
  static_cast<void>(::send(control.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

[[noreturn]] void fail(const os::Fd& control, const base::Error& error) {
  send_blocking(control, wire::ZygoteType::kInitFailed,
                wire::encode(wire::InitFailed{.type = "sandbox", .message = error.message, .trace = ""}));
  ::_exit(1);
}

// The launcher's copies of everybody's descriptors came along with its memory. None may stay: a control socket held
// here would keep another sandbox from seeing the launcher's death.
void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = 0;
  for (const int fd : kept) {
    if (fd < 0) continue;
    const auto keep = static_cast<unsigned>(fd);
    if (keep > first) static_cast<void>(::close_range(first, keep - 1, 0));
    first = keep + 1;
  }
  static_cast<void>(::close_range(first, ~0U, 0));
}

void close_foreign_descriptors(const os::Fd& control, const RootPlan& root, const Payload& payload) {
  std::vector<int> kept = {control.get(), payload.out.get(), payload.err.get(), payload.control.get()};
  for (const RootPlan::Placement& placement : root.placements) kept.push_back(placement.tree.get());
  for (const os::Fd& layer : root.image) kept.push_back(layer.get());
  close_all_but(std::move(kept));
}

void reset_signals() {
  for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

base::Result<> await_go(const os::Fd& control) {
  pollfd wait{.fd = control.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, kGoTimeoutMs) != 1) return base::unavailable("no word from the launcher");
  EBB_TRY(const std::optional<os::Received> received, os::recv_message(control));
  if (!received || received->bytes.empty()) ::_exit(1);  // the launcher has died
  EBB_TRY(const wire::Message message, wire::decode_message(received->bytes));
  if (message.type != static_cast<std::uint16_t>(wire::ZygoteType::kGo))
    return base::internal("no go from the launcher");
  return {};
}

base::Result<> become_inner_root() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
    return base::os_error("become root of the sandbox", errno);
  }
  // A change of ids clears it. The launcher is outside of our pid namespace: getppid() cannot tell whether it lives,
  // the control socket can.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return base::os_error("set parent-death signal", errno);
  return {};
}

base::Result<> build_sandbox(const RootPlan& root, bool own_network) {
  // The cgroup we are in becomes the root of what can be seen of cgroups. Kernels without the namespace show paths
  // only.
  static_cast<void>(::unshare(CLONE_NEWCGROUP));
  if (::sethostname("ebb", 3) != 0) return base::os_error("set the host name", errno);
  if (own_network) EBB_CHECKED(os::bring_loopback_up());
  EBB_CHECKED(enter_root(root));
  // OpenSSL and others tell a fork by a changed pid, so a zygote's pid must be none that an instance can have.
  EBB_CHECKED(os::raise_pids_above(kPidFloor));
  return root.mask_proc ? mask_proc() : base::Result<>();
}

void limit_resources() {
  const auto lower = [](int resource, rlim_t soft, rlim_t hard) {
    rlimit present{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &present) != 0) return;
    present.rlim_max = std::min(present.rlim_max, hard);
    present.rlim_cur = std::min(present.rlim_max, soft);
    static_cast<void>(::setrlimit(static_cast<__rlimit_resource_t>(resource), &present));
  };
  lower(RLIMIT_NOFILE, kOpenFiles, kOpenFilesMax);
  lower(RLIMIT_CORE, 1, 1);    // 0 would not do: launcher_walls.cc
  lower(RLIMIT_RTPRIO, 0, 0);  // whoever started us may have been given more
  lower(RLIMIT_NICE, 0, 0);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// 0: nothing to read; 1 and 2: the caller's pipes; 3: the control socket. Sources are lifted first so that none is
// overwritten before its turn. The rest closes at exec, until when `report` can still speak.
base::Result<> arrange_descriptors(const Payload& payload) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int sources[] = {null, payload.out.get(), payload.err.get(), payload.control.get()};
  for (int& source : sources) {
    if (source < 0) continue;
    source = ::fcntl(source, F_DUPFD_CLOEXEC, 16);
    if (source < 0) return base::os_error("arrange descriptors", errno);
  }
  if (sources[0] < 0) return base::os_error("open /dev/null", errno);
  for (int target = 0; target <= kControlFd; ++target) {
    if (sources[target] >= 0 && ::dup2(sources[target], target) != target) {
      return base::os_error("arrange descriptors", errno);
    }
  }
  const unsigned first = payload.control.valid() ? kControlFd + 1 : kControlFd;
  if (::close_range(first, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return base::os_error("close descriptors", errno);
  return {};
}

base::Result<> start_payload(const Payload& payload, std::uint32_t user) {
  EBB_CHECKED(arrange_descriptors(payload));
  reset_signals();
  ::setsid();
  ::umask(022);
  limit_resources();
  if (payload.cpu >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(payload.cpu), &one);
    if (::sched_setaffinity(0, sizeof one, &one) != 0) return base::os_error("use one cpu", errno);
  }
  // For its instances too. A wake-up in a sandbox takes no processor from the daemon, nor from a function at work.
  EBB_CHECKED(os::schedule_patiently(0));
  if (::chdir(payload.directory.c_str()) != 0) return base::os_error("enter " + payload.directory, errno);
  EBB_CHECKED(os::become(user, user));
  EBB_CHECKED(os::forbid_new_privileges());
  EBB_CHECKED(payload.filter->install());
  ::execve(payload.argv.front().c_str(), pointers_to(payload.argv).data(), pointers_to(payload.env).data());
  return base::os_error("start " + payload.argv.front(), errno);
}

// Reports all that have ended. True when `awaited` was among them.
bool reap_all(const os::Fd& control, pid_t awaited) {
  bool met = false;
  int status = 0;
  for (pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL); pid > 0; pid = ::waitpid(-1, &status, WNOHANG | __WALL)) {
    send_blocking(control, wire::ZygoteType::kReaped,
                  wire::encode(wire::Reaped{.pid = static_cast<std::uint32_t>(pid),
                                            .wait_status = static_cast<std::uint32_t>(status)}));
    met = met || pid == awaited;
  }
  return met;
}

[[noreturn]] void reap_for_ever(const os::Fd& control, const os::Fd& signals, pid_t end_with) {
  pollfd waits[] = {{.fd = control.get(), .events = POLLIN, .revents = 0},
                    {.fd = signals.get(), .events = POLLIN, .revents = 0}};
  for (;;) {
    static_cast<void>(::poll(waits, 2, -1));
    if (waits[1].revents != 0) {
      signalfd_siginfo info;
      [[maybe_unused]] const ssize_t taken = ::read(signals.get(), &info, sizeof info);
      if (reap_all(control, end_with)) ::_exit(0);
    }
    // The launcher says nothing after kGo: whatever can be read here is its end.
    if (waits[0].revents != 0) ::_exit(0);
  }
}

}  // namespace

void run_sandbox_init(os::Fd control, RootPlan root, Payload payload, SandboxIds ids, bool own_network) {
  close_foreign_descriptors(control, root, payload);
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGKILL));
  static_cast<void>(::prctl(PR_SET_NAME, "ebb-init"));
  if (base::Result<> go = await_go(control); !go) fail(control, go.error());
  if (base::Result<> root_user = become_inner_root(); !root_user) fail(control, root_user.error());
  if (base::Result<> built = build_sandbox(root, own_network); !built) fail(control, built.error());
  root.placements.clear();
  root.image.clear();

  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  ::signal(SIGCHLD, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &children, nullptr);
  const os::Fd signals(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) fail(control, base::os_error("signalfd", errno));
  const pid_t child = ::fork();
  if (child < 0) fail(control, base::os_error("fork", errno));
  if (child == 0) {
    const base::Result<> started = start_payload(payload, ids.user);
    fail(control, started.error());
  }
  payload.out.reset();
  payload.err.reset();
  payload.control.reset();
  // Reaping needs no privilege, and no id that means anything outside.
  if (base::Result<> dropped = os::become(ids.init, ids.init); !dropped) fail(control, dropped.error());
  if (base::Result<> forbidden = os::forbid_new_privileges(); !forbidden) fail(control, forbidden.error());
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGKILL));
  reap_for_ever(control, signals, payload.end_with_it ? child : -1);
}

}  // namespace ebb::launcher
