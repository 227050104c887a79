// How things end: an exit seen by pidfd, its status told by init, its usage read from its cgroup, its children killed.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "base/limits.h"
#include "base/log.h"
#include "launcher/fleet.h"
#include "os/network_namespace.h"
#include "os/pidfd.h"
#include "wire/message.h"

namespace ebb::launcher {
namespace {

using wire::Subject;

constexpr std::size_t kUnclaimedMax = 64;
constexpr int kOomTries = 50;
constexpr std::chrono::milliseconds kOomInterval(2);

std::string describe(std::optional<std::uint32_t> status) {
  if (!status) return "with an unknown status";
  const int value = static_cast<int>(*status);
  if (WIFSIGNALED(value)) return "by signal " + std::to_string(WTERMSIG(value));
  return "with exit status " + std::to_string(WEXITSTATUS(value));
}

}  // namespace

void Fleet::watch_end(Process& process) {
  const base::Result<> watched =
      ground_.poller.watch(process.pidfd.get(), [this, token = process.token] { on_end(token); });
  if (!watched) kill_sandbox(*process.sandbox, watched.error());
}

void Fleet::on_end(Token token) {
  on_control(token);  // its last words: why its init failed
  Process* process = find(token);
  if (process == nullptr || !process->pidfd.valid()) return;
  ground_.poller.forget(process->pidfd.get());
  process->life = Life::kEnding;
  if (process->wait_status) {
    finish(token);
    return;
  }
  ground_.poller.cancel(process->deadline);
  process->deadline = ground_.poller.after(limits::kReapWait, [this, token] { finish(token); });
}

void Fleet::watch_memory(Process& instance) {
  if (!instance.oom.valid()) return;
  const base::Result<> watched = ground_.poller.watch(instance.oom.get(), [this, token = instance.token] {
    Process* process = find(token);
    if (process == nullptr) return;
    ground_.poller.forget(process->oom.get());
    process->oom.reset();
    on_out_of_memory(token, kOomTries);
  });
  if (!watched) base::log(base::LogLevel::kWarning, "memory not watched", {{"error", watched.error().message}});
}

// The kernel tells before it kills, and tells the groups below one that is full as well: only the count is certain.
void Fleet::on_out_of_memory(Token token, int tries) {
  Process* process = find(token);
  if (process == nullptr || process->life != Life::kRunning) return;
  if (ground_.cgroups.usage(process->cgroup).oom_kills > 0) {
    process->out_of_memory = true;
    kill(*process);
  } else if (tries > 0) {
    ground_.poller.cancel(process->deadline);
    process->deadline =
        ground_.poller.after(kOomInterval, [this, token, tries] { on_out_of_memory(token, tries - 1); });
  }
}

// From init: the status of a process that we know by its inner pid, now or as soon as its zygote has told us of it.
void Fleet::claim_reaped(Sandbox& sandbox, const wire::Reaped& reaped) {
  const auto known = sandbox.by_inner_pid.find(reaped.pid);
  if (known != sandbox.by_inner_pid.end()) {
    Process& process = *find(known->second);
    if (!process.wait_status) process.wait_status = reaped.wait_status;
    if (process.life == Life::kEnding) finish(process.token);
    return;
  }
  // Until the runtime is born there is nobody else whom init could reap.
  if (Process* runtime = find(sandbox.runtime); runtime != nullptr && runtime->life == Life::kOrdered) {
    runtime->wait_status = reaped.wait_status;
    finish(runtime->token);
    return;
  }
  // Orphans of user code end here too; they concern nobody.
  if (sandbox.unplaced == 0) return;
  if (sandbox.unclaimed.size() == kUnclaimedMax) sandbox.unclaimed.pop_front();
  sandbox.unclaimed.push_back(reaped);
}

void Fleet::finish(Token token) {
  Process* process = find(token);
  if (process == nullptr) return;
  process->life = Life::kEnding;
  if (process->subject != Subject::kInstance) end_children_of(token);
  if (process->subject == Subject::kSandbox) {
    Sandbox& sandbox = *process->sandbox;
    sandbox.request = std::exchange(process->request, 0);
    sandbox.runtime_status = process->wait_status;
    const base::Error why = base::unavailable("the runtime ended " + describe(process->wait_status));
    erase(token);
    kill_sandbox(sandbox, why);
    return;
  }
  report_end(*process, ground_.cgroups.usage(process->cgroup));
  erase(token);
}

void Fleet::report_end(Process& process, const os::CgroupUsage& usage) {
  if (process.request == 0) {
    daemon_.exited(wire::Exited{.subject = process.subject,
                                .id = process.id,
                                .wait_status = process.wait_status.value_or(0),
                                .out_of_memory = process.out_of_memory || usage.oom_kills > 0,
                                .orphaned = process.orphaned,
                                .cpu_ns = usage.cpu_ns,
                                .memory_peak_bytes = usage.memory_peak_bytes});
    return;
  }
  base::Error error{.code = base::Code::kFunctionFailed};
  if (process.failure) {
    error = std::move(*process.failure);
  } else if (usage.oom_kills > 0) {
    error.message = "out of memory while loading: the limit is " + std::to_string(process.version->spec.memory_bytes) +
                    " bytes; raise `memory`";
  } else if (process.sandbox->ending) {
    error.code = base::Code::kUnavailable;
    error.message = "the sandbox ended while the function was loading";
  } else {
    error.message = "the process ended " + describe(process.wait_status) + " while the function was loading";
  }
  daemon_.failed(std::exchange(process.request, 0), error, std::move(process.failure_detail));
}

// Orders not yet carried out fail; what lives is killed, because an instance shares its zygote's memory and must not
// outlive the one place where that memory is accounted.
void Fleet::end_children_of(Token zygote) {
  for (const Token token : tokens_where([&](const Process& process) { return process.source == zygote; })) {
    Process* child = find(token);
    if (child == nullptr || child->life == Life::kEnding) continue;
    if (child->life == Life::kOrdered) {
      fail_birth(token, base::not_found("the zygote ended before it could fork"));
    } else {
      if (child->request != 0 && !child->failure) {
        child->failure = base::unavailable("the zygote it was forked from has ended");
      }
      child->orphaned = true;
      kill(*child);
    }
  }
}

void Fleet::kill(Process& process) {
  const Token token = process.token;
  if (process.subject == Subject::kSandbox) {
    kill_sandbox(*process.sandbox, base::Error{.code = base::Code::kCancelled, .message = "the sandbox was killed"});
    return;
  }
  if (process.life == Life::kOrdered) {
    fail_birth(token, base::Error{.code = base::Code::kCancelled, .message = "killed before it was born"});
    return;
  }
  if (process.request != 0 && !process.failure) {
    process.failure = base::Error{.code = base::Code::kCancelled, .message = "killed while it was loading"};
  }
  static_cast<void>(os::signal_process(process.pidfd, SIGKILL));
  thaw_to_die(process);
  see_to_end(process);
  if (process.subject == Subject::kZygote) end_children_of(token);
}

// On cgroup v1 a frozen process takes no signal, not even SIGKILL, until it is thawed.
void Fleet::thaw_to_die(Process& process) {
  if (!process.frozen || !ground_.cgroups.killing_needs_thaw()) return;
  process.frozen = false;
  static_cast<void>(ground_.cgroups.freeze(process.cgroup, false));
}

void Fleet::see_to_end(Process& process) {
  if (process.lingering != Poller::Timer::kNone) return;
  process.lingering = ground_.poller.after(limits::kLingering, [this, token = process.token] { hurry(token); });
}

// The first process of a fork bomb, at whose end the kernel kills the rest, is one of hundreds that want a processor
// and the same locks; until then these go on. So all are killed. Each has still to free its memory: seconds of a
// processor in all, and of a twentieth of one, or of what other apps leave, minutes. Nothing but that runs in the
// cgroup any more.
void Fleet::hurry(Token token) {
  Process* process = find(token);
  if (process == nullptr) return;
  if (!std::exchange(process->hurried, true)) {
    if (process->subject == Subject::kInstance) static_cast<void>(ground_.cgroups.lift_cpu_limit(process->cgroup));
    weights_.excuse(app_group(process->sandbox->app));
  }
  ground_.cgroups.kill_members(process->cgroup.empty() ? process->sandbox->cgroup : process->cgroup);
  process->lingering = ground_.poller.after(limits::kLingering, [this, token] { hurry(token); });
}

void Fleet::freeze(const wire::FreezeOrder& order, bool freeze) {
  Process* process = find(Subject::kInstance, raw(order.instance));
  if (process == nullptr || process->life != Life::kRunning) return;
  if (order.sequence <= process->freeze_sequence) return;  // overtaken by a newer one
  process->freeze_sequence = order.sequence;
  if (process->frozen == freeze) return;
  const base::Result<> done = ground_.cgroups.freeze(process->cgroup, freeze);
  if (done) {
    process->frozen = freeze;
    return;
  }
  base::log(base::LogLevel::kWarning, freeze ? "instance not frozen" : "instance not thawed",
            {{"error", done.error().message}});
  if (!freeze) kill(*process);
}

base::Result<std::vector<os::Fd>> Fleet::open_sockets(const wire::OpenSockets& wanted) {
  const Process* process = find(Subject::kInstance, raw(wanted.instance));
  if (process == nullptr || process->life != Life::kRunning) {
    return base::not_found("instance " + std::to_string(raw(wanted.instance)) + " is not running");
  }
  std::vector<os::Fd> sockets;
  EBB_TRY(const os::Fd home, os::present_network_namespace());
  EBB_CHECKED(os::within_network_namespace(home, process->pidfd, [&]() -> base::Result<> {
    while (sockets.size() < wanted.count) {
      os::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
      if (!socket.valid()) return base::os_error("socket into an instance's network", errno);
      sockets.push_back(std::move(socket));
    }
    return {};
  }));
  return sockets;
}

void Fleet::kill(Subject subject, std::uint64_t id) {
  if (subject == Subject::kSandbox) {
    const auto found = sandboxes_.find(id);
    if (found == sandboxes_.end()) return;
    kill_sandbox(*found->second, base::Error{.code = base::Code::kCancelled, .message = "the sandbox was killed"});
  } else if (Process* process = find(subject, id)) {
    kill(*process);
  }
}

void Fleet::kill_sandbox(Sandbox& sandbox, base::Error why) {
  if (!sandbox.ending && why.code == base::Code::kInternal) {
    base::log(base::LogLevel::kWarning, "sandbox killed", {{"app", sandbox.app}, {"reason", why.message}});
  }
  if (!sandbox.failure) sandbox.failure = std::move(why);
  sandbox.ending = true;
  static_cast<void>(os::signal_process(sandbox.init_pidfd, SIGKILL));
  for (auto& [token, process] : processes_) {
    if (process->sandbox != &sandbox) continue;
    thaw_to_die(*process);
    see_to_end(*process);
  }
}

void Fleet::kill_all() {
  for (auto& [id, sandbox] : sandboxes_) kill_sandbox(*sandbox, base::unavailable("the daemon has ended"));
}

void Fleet::on_init_control(std::uint64_t sandbox_id) {
  for (;;) {
    const auto found = sandboxes_.find(sandbox_id);
    if (found == sandboxes_.end()) return;
    Sandbox& sandbox = *found->second;
    const base::Result<std::optional<os::Received>> received = os::recv_message(sandbox.init_control);
    if (received && !*received) return;
    if (!received || (*received)->bytes.empty()) {
      ground_.poller.forget(sandbox.init_control.get());  // its pidfd tells the rest
      return;
    }
    const base::Result<wire::Message> message = wire::decode_message((*received)->bytes);
    if (!message) continue;
    if (message->type == static_cast<std::uint16_t>(wire::ZygoteType::kReaped)) {
      if (const base::Result<wire::Reaped> reaped = wire::decode_reaped(message->payload)) {
        claim_reaped(sandbox, *reaped);
      }
    } else if (message->type == static_cast<std::uint16_t>(wire::ZygoteType::kInitFailed)) {
      const base::Result<wire::InitFailed> told = wire::decode_init_failed(message->payload);
      kill_sandbox(sandbox, base::internal("the sandbox could not be set up: " + (told ? told->message : "no reason")));
    }
  }
}

// Init reaps everything in its namespace before its own end can be seen: all processes of the sandbox have ended by
// now.
void Fleet::on_init_end(std::uint64_t sandbox_id) {
  on_init_control(sandbox_id);
  Sandbox& sandbox = *sandboxes_.at(sandbox_id);
  const base::Result<std::optional<int>> status = os::reap_child(sandbox.init_pidfd);
  sandbox.ending = true;
  if (!sandbox.failure) {
    sandbox.failure =
        base::unavailable("the sandbox's init ended " +
                          describe(status && *status ? std::optional<std::uint32_t>(**status) : std::nullopt));
  }
  for (const Token token : tokens_where([&](const Process& process) { return process.sandbox == &sandbox; })) {
    Process* process = find(token);
    if (process == nullptr) continue;
    if (process->life == Life::kOrdered && process->subject != Subject::kSandbox) {
      fail_birth(token, *sandbox.failure);
      continue;
    }
    if (!process->wait_status) {
      const bool fresh = (sandbox_id & kFresh) != 0 && status && *status;
      process->wait_status = fresh ? static_cast<std::uint32_t>(**status) : SIGKILL;
    }
    if (process->life == Life::kRunning && (sandbox_id & kFresh) == 0) process->orphaned = true;
    finish(token);
  }
  ground_.poller.forget(sandbox.init_pidfd.get());
  ground_.poller.forget(sandbox.init_control.get());
  if ((sandbox_id & kFresh) == 0) report_sandbox_end(sandbox);
  const std::string app = sandbox.app;
  sandboxes_.erase(sandbox_id);
  release_app(app);
}

void Fleet::report_sandbox_end(Sandbox& sandbox) {
  const os::CgroupUsage usage = ground_.cgroups.usage(sandbox.cgroup);
  if (sandbox.request != 0) {
    base::Error error = *sandbox.failure;
    if (usage.oom_kills > 0) error.message = "out of memory while the runtime started; raise its limit";
    daemon_.failed(sandbox.request, error, std::move(sandbox.failure_detail));
  } else {
    daemon_.exited(wire::Exited{.subject = Subject::kSandbox,
                                .id = sandbox.id,
                                .wait_status = sandbox.runtime_status.value_or(SIGKILL),
                                .out_of_memory = usage.oom_kills > 0,
                                .cpu_ns = usage.cpu_ns,
                                .memory_peak_bytes = usage.memory_peak_bytes});
  }
  removals_.add(sandbox.cgroup);
}

void Fleet::forget(Process& process) {
  ground_.poller.cancel(process.deadline);
  ground_.poller.cancel(process.lingering);
  if (process.control.valid()) ground_.poller.forget(process.control.get());
  if (process.pidfd.valid()) ground_.poller.forget(process.pidfd.get());
  if (process.oom.valid()) ground_.poller.forget(process.oom.get());
}

void Fleet::unlink(Process& process) {
  if (process.link == 0) return;
  ground_.network.release(process.link);
  daemon_.unlinked(wire::Unlinked{.link = std::exchange(process.link, 0)});
}

void Fleet::erase(Token token) {
  const auto found = processes_.find(token);
  if (found == processes_.end()) return;
  Process& process = *found->second;
  forget(process);
  loaded(process);
  if (process.hurried) weights_.excuse_no_more(app_group(process.sandbox->app));
  if (Process* source = find(process.source)) --source->children;
  unlink(process);
  if (!process.cgroup.empty()) removals_.add(process.cgroup);
  named_.erase({process.subject, process.id});
  Sandbox& sandbox = *process.sandbox;
  if (process.pid != 0) by_pid_.erase(process.pid);
  if (process.inner_pid != 0) {
    sandbox.by_inner_pid.erase(process.inner_pid);
  } else if (process.subject != Subject::kSandbox && --sandbox.unplaced == 0) {
    sandbox.unclaimed.clear();
  }
  Version* version = process.version;
  processes_.erase(found);
  if (version == nullptr) return;
  if (--version->processes == 0 && version->dropping) finish_drop(*version);
}

}  // namespace ebb::launcher
