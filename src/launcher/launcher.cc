#include "launcher/launcher.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "launcher/daemon_process.h"
#include "launcher/gvisor.h"
#include "launcher/launcher_walls.h"
#include "launcher/prompt_cores.h"
#include "launcher/requests.h"
#include "os/file.h"
#include "os/open_files.h"
#include "os/path.h"
#include "os/pidfd.h"
#include "os/user_namespaces.h"

namespace ebb::launcher {
namespace {

using base::LogLevel;

// SIGTERM and SIGINT arrive as events of the loop.
base::Result<os::Fd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);  // ignored children could not be reaped by us
  sigset_t stops;
  ::sigemptyset(&stops);
  ::sigaddset(&stops, SIGTERM);
  ::sigaddset(&stops, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &stops, nullptr) != 0) return base::os_error("block signals", errno);
  os::Fd signals(::signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return base::os_error("signalfd", errno);
  return signals;
}

// Kills whatever is in cgroups of ours and removes them. Used when no sandbox is meant to live: at the start, and
// between two daemons.
base::Result<> clear_cgroups(const os::CgroupTree& cgroups) {
  const base::SteadyTime deadline = base::steady_now() + limits::kCgroupRemoveTimeout;
  for (;;) {
    const std::size_t found = cgroups.kill_all("");
    base::Result<> removed = cgroups.remove_all("");
    if (removed && found == 0) return {};
    if (base::steady_now() > deadline) return removed ? base::Result<>() : std::move(removed);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// A group weighs on all processors together what one process of the host's weighs, so functions at work on each of them
// would wait behind whatever wakes up there, the daemon that calls them included. They weigh as much as one such
// process on each.
std::uint32_t weight_of_functions() {
  const std::uint32_t processors = std::max(1u, std::thread::hardware_concurrency());
  return std::min(processors * os::CgroupTree::kUsualWeight, os::CgroupTree::kWeightMost);
}

class Launcher {
 public:
  static base::Result<std::unique_ptr<Launcher>> prepare(const LauncherOptions& options, os::Fd build_variables);
  int run();

 private:
  Launcher(const LauncherOptions& options, Poller poller, DataDirectory data, os::CgroupTree cgroups,
           os::SyscallFilter zygote_filter, os::SyscallFilter build_filter, os::Fd runtime, os::Fd executable,
           os::Fd build_variables, os::Fd signals, os::UserNamespaceProbe user_namespaces,
           std::unique_ptr<GvisorStarter> gvisor)
      : options_(options),
        poller_(std::move(poller)),
        data_(std::move(data)),
        cgroups_(std::move(cgroups)),
        zygote_filter_(std::move(zygote_filter)),
        build_filter_(std::move(build_filter)),
        runtime_(std::move(runtime)),
        executable_(std::move(executable)),
        build_variables_(std::move(build_variables)),
        signals_(std::move(signals)),
        network_(poller_, options_.egress, data_.owner_tag()),
        user_namespaces_(std::move(user_namespaces)),
        gvisor_(std::move(gvisor)) {}

  Ground ground() {
    return {.poller = poller_,
            .cgroups = cgroups_,
            .data = data_,
            .zygote_filter = zygote_filter_,
            .build_filter = build_filter_,
            .network = network_,
            .runtime = runtime_,
            .python = options_.python,
            .uid_base = options_.uid_base,
            .user_namespaces = user_namespaces_.level,
            .no_forks_because = user_namespaces_.obstacle,
            .gvisor = gvisor_.get(),
            .memory_bytes = options_.memory_bytes};
  }
  base::Result<> start();
  void serve_one_daemon();
  void tear_down();
  void wait_before_restart(std::chrono::nanoseconds delay);
  void on_signal();
  void on_daemon_end();

  const LauncherOptions options_;
  Poller poller_;
  DataDirectory data_;
  os::CgroupTree cgroups_;
  os::SyscallFilter zygote_filter_;
  os::SyscallFilter build_filter_;
  os::Fd runtime_;
  os::Fd executable_;
  os::Fd build_variables_;
  os::Fd signals_;
  Network network_;
  const os::UserNamespaceProbe user_namespaces_;
  const std::unique_ptr<GvisorStarter> gvisor_;
  std::optional<DaemonProcess> daemon_;
  std::unique_ptr<Requests> requests_;
  std::optional<PromptCores> prompt_cores_;
  Poller::Timer stop_deadline_ = Poller::Timer::kNone;
  bool stopping_ = false;
};

base::Result<std::unique_ptr<Launcher>> Launcher::prepare(const LauncherOptions& options, os::Fd build_variables) {
  if (::geteuid() != 0) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message =
                           "the launcher makes namespaces and cgroups and must start as root; use sudo or the "
                           "systemd unit (the daemon itself runs without privilege)"};
  }
  EBB_TRY(os::Fd runtime, os::open_directory(options.runtime_dir.c_str()));
  EBB_TRY(DataDirectory data,
          DataDirectory::open(options.data_dir, {.uid = options.daemon_uid, .gid = options.daemon_gid}));
  EBB_TRY(const std::string mountinfo, os::read_file("/proc/self/mountinfo"));
  EBB_TRY(os::CgroupTree cgroups, os::CgroupTree::find(data.owner_tag(), mountinfo));
  EBB_TRY(os::SyscallFilter zygote_filter, os::SyscallFilter::compile(os::SyscallProfile::kZygote));
  EBB_TRY(os::SyscallFilter build_filter, os::SyscallFilter::compile(os::SyscallProfile::kBuild));
  os::Fd executable(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!executable.valid()) return base::os_error("open /proc/self/exe", errno);
  EBB_TRY(os::UserNamespaceProbe user_namespaces, os::probe_user_namespaces(options.uid_base));
  std::unique_ptr<GvisorStarter> gvisor;
  if (const std::string runsc = find_program(options.runsc); !runsc.empty()) {
    EBB_TRY(gvisor, GvisorStarter::start(runsc, options.python, runtime));
  }
  EBB_TRY(os::Fd signals, take_signals());
  EBB_TRY(Poller poller, Poller::open());
  return std::unique_ptr<Launcher>(new Launcher(options, std::move(poller), std::move(data), std::move(cgroups),
                                                std::move(zygote_filter), std::move(build_filter), std::move(runtime),
                                                std::move(executable), std::move(build_variables), std::move(signals),
                                                std::move(user_namespaces), std::move(gvisor)));
}

base::Result<> Launcher::start() {
  os::raise_open_files();  // ten and more of a function that is loaded; the daemon has what we have
  EBB_CHECKED(clear_cgroups(cgroups_));
  EBB_CHECKED(data_.sweep());
  if (user_namespaces_.level != os::UserNamespaces::kForAll) {
    const bool none = user_namespaces_.level == os::UserNamespaces::kNone;
    base::log(LogLevel::kWarning, "no zygotes",
              {{"instances", "fresh"},
               {"reason", user_namespaces_.obstacle},
               {"user_namespaces", none ? "none" : "for root only"},
               {"remedy", "ebb doctor"}});
  }
  // Machine-wide and not to be taken back: only ever set by hand.
  if (!cgroups_.favours_moves()) {
    base::log(
        LogLevel::kWarning, "starts may be slow",
        {{"reason", "cgroup2 is not mounted with favordynmods; on kernels from 6.0: ebb doctor --fix favordynmods"}});
  }
  EBB_CHECKED(lower_privilege());
  return poller_.watch(signals_.get(), [this] { on_signal(); });
}

int Launcher::run() {
  if (base::Result<> started = start(); !started) {
    std::fprintf(stderr, "ebb: %s\n", started.error().message.c_str());
    return 1;
  }
  std::chrono::nanoseconds backoff = limits::kDaemonBackoffMin;
  while (!stopping_) {
    const base::SteadyTime began = base::steady_now();
    serve_one_daemon();
    if (stopping_) break;
    // Who lived that long did start: it was killed or hit something rare, and callers wait for the next.
    if (base::steady_now() - began > limits::kDaemonBackoffMax / 10) backoff = limits::kDaemonBackoffMin;
    wait_before_restart(backoff);
    backoff = std::min<std::chrono::nanoseconds>(backoff * 2, limits::kDaemonBackoffMax);
  }
  if (const base::Result<> cleared = clear_cgroups(cgroups_); !cleared) {
    base::log(LogLevel::kWarning, "cgroups left behind", {{"error", cleared.error().message}});
  }
  return 0;
}

void Launcher::serve_one_daemon() {
  const auto begin = [&]() -> base::Result<> {
    EBB_CHECKED(cgroups_.make_root());
    EBB_CHECKED(cgroups_.weigh("", weight_of_functions()));
    if (options_.memory_bytes > 0) EBB_CHECKED(cgroups_.limit("", {.memory_bytes = options_.memory_bytes}));
    EBB_TRY(daemon_, start_daemon(executable_, build_variables_, options_.daemon_argv, options_.daemon_uid,
                                  options_.daemon_gid));
    EBB_CHECKED(poller_.watch(daemon_->child.pidfd.get(), [this] { on_daemon_end(); }));
    requests_ = std::make_unique<Requests>(ground(), std::move(daemon_->socket));
    prompt_cores_.emplace(poller_, daemon_->child.pid, [this] { return requests_->one_app_floods(); });
    return {};
  };
  if (base::Result<> begun = begin(); !begun) {
    base::log(LogLevel::kError, "daemon not started", {{"error", begun.error().message}});
    if (daemon_) static_cast<void>(os::signal_process(daemon_->child.pidfd, SIGKILL));
    daemon_.reset();
    return;
  }
  bool killed = false;
  while (daemon_) {
    if (!requests_->sound() && !killed) {
      // It closed its socket or does not read it: without it the daemon is of no use.
      killed = true;
      static_cast<void>(os::signal_process(daemon_->child.pidfd, stopping_ ? SIGTERM : SIGKILL));
    }
    poller_.turn();
  }
  tear_down();
}

void Launcher::on_daemon_end() {
  prompt_cores_.reset();  // before its number can be another's
  const base::Result<std::optional<int>> status = os::reap_child(daemon_->child.pidfd);
  poller_.forget(daemon_->child.pidfd.get());
  if (!stopping_) {
    base::log(LogLevel::kError, "daemon died", {{"wait_status", status && *status ? **status : -1}});
  }
  daemon_.reset();
}

// Everything the daemon had dies with it: nobody is left who knows what it is for.
void Launcher::tear_down() {
  requests_->kill_all();
  bool late = false;
  Poller::Timer deadline = poller_.after(limits::kCgroupRemoveTimeout, [&late] { late = true; });
  while (!requests_->empty() && !late) poller_.turn();
  poller_.cancel(deadline);
  requests_.reset();
  if (const base::Result<> cleared = clear_cgroups(cgroups_); !cleared) {
    base::log(LogLevel::kWarning, "cgroups left behind", {{"error", cleared.error().message}});
  }
}

void Launcher::wait_before_restart(std::chrono::nanoseconds delay) {
  bool over = false;
  Poller::Timer timer = poller_.after(delay, [&over] { over = true; });
  while (!over && !stopping_) poller_.turn();
  poller_.cancel(timer);
}

// The first asks the daemon to finish what it does; a second one, or time, does not ask.
void Launcher::on_signal() {
  signalfd_siginfo info;
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  const bool again = std::exchange(stopping_, true);
  if (!daemon_) return;
  static_cast<void>(os::signal_process(daemon_->child.pidfd, again ? SIGKILL : SIGTERM));
  if (again) return;
  stop_deadline_ = poller_.after(limits::kDaemonStopGrace, [this] {
    if (daemon_) static_cast<void>(os::signal_process(daemon_->child.pidfd, SIGKILL));
  });
}

}  // namespace

int run_launcher(const LauncherOptions& options) {
  base::Result<os::Fd> build_variables = shed_inherited_state();
  const base::Result<std::unique_ptr<Launcher>> launcher =
      build_variables ? Launcher::prepare(options, *std::move(build_variables)) : build_variables.error();
  if (!launcher) {
    std::fprintf(stderr, "ebb: %s\n", launcher.error().message.c_str());
    return 1;
  }
  return (*launcher)->run();
}

}  // namespace ebb::launcher
