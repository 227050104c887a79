// Fork orders, births and readiness: from an order in a zygote's socket to a process in its cgroup that may run user
// code.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/limits.h"
#include "base/log.h"
#include "launcher/fleet.h"
#include "launcher/huge_pages.h"
#include "os/file.h"
#include "os/pidfd.h"
#include "wire/message.h"

namespace ebb::launcher {
namespace {

using wire::Subject;
using wire::ZygoteType;

constexpr int kMessagesPerTurn = 32;  // of one socket, before others get their turn

std::string message_of(ZygoteType type, std::string payload = "") {
  return wire::encode(wire::Message{.type = static_cast<std::uint16_t>(type), .payload = std::move(payload)});
}

base::Error broke_protocol(const std::string& how) {
  return base::internal("the runtime broke its protocol with the launcher: " + how);
}

// The pid that a child of init has inside: the last word of "NSpid:". Only for the runtime zygote, whose parent does
// not tell it.
std::uint32_t innermost_pid(pid_t pid) {
  const base::Result<std::string> status = os::read_file("/proc/" + std::to_string(pid) + "/status");
  if (!status) return 0;
  const std::size_t line = status->find("NSpid:");
  if (line == std::string::npos) return 0;
  const std::string words = status->substr(line, status->find('\n', line) - line);
  const std::size_t last = words.find_last_of(" \t");
  return static_cast<std::uint32_t>(std::strtoul(words.c_str() + last + 1, nullptr, 10));
}

}  // namespace

// Descriptors of an order: the child's control socket first, then what the daemon passed (zygote_protocol.h).
base::Result<> Fleet::order(Process& zygote, Process& child, ZygoteType type, std::string payload,
                            std::vector<os::Fd> fds) {
  if (zygote.orders.size() >= limits::kBirthsWaitingPerZygote) {
    return base::Error{.code = base::Code::kResourceExhausted, .message = "too many forks are waiting for the zygote"};
  }
  EBB_TRY(auto control, os::seqpacket_pair());
  EBB_CHECKED(os::receive_credentials(control.first));
  EBB_CHECKED(ground_.poller.watch(control.first.get(), [this, token = child.token] { on_control(token); }));
  child.control = std::move(control.first);
  child.source = zygote.token;
  ++zygote.children;
  BirthOrder birth{.child = child.token, .bytes = message_of(type, std::move(payload))};
  birth.fds.push_back(std::move(control.second));
  for (os::Fd& fd : fds) birth.fds.push_back(std::move(fd));
  zygote.orders.push_back(std::move(birth));
  send_orders(zygote);
  return {};
}

void Fleet::send_orders(Process& zygote) {
  while (!zygote.orders.empty() && zygote.unborn < limits::kBirthsAtOncePerZygote) {
    BirthOrder& next = zygote.orders.front();
    std::vector<int> fds;
    for (const os::Fd& fd : next.fds) fds.push_back(fd.get());
    const base::Result<> sent = os::send_message(zygote.control, next.bytes, fds);
    // Full: the births under way make room, and their own deadline stands for a zygote that does nothing.
    if (!sent && sent.error().os_errno == EAGAIN && zygote.unborn > 0) return;
    // Gone: its pidfd is about to tell, and then these orders are answered.
    if (!sent && sent.error().os_errno != EAGAIN) return;
    if (!sent) {
      give_up(zygote, base::unavailable("the zygote takes no orders"));
      return;
    }
    ++zygote.unborn;
    if (Process* child = find(next.child)) await_birth(*child);
    zygote.orders.pop_front();
  }
}

void Fleet::await_birth(Process& child) {
  child.order_sent = true;
  child.deadline = ground_.poller.after(limits::kBirthTimeout, [this, token = child.token] {
    Process* late = find(token);
    if (late == nullptr) return;
    const Token source = late->source;
    fail_birth(token, base::not_found("the zygote did not fork in time"));
    if (Process* zygote = find(source)) give_up(*zygote, base::unavailable("a zygote left a fork order unanswered"));
  });
}

// A zygote that forks no more. Others of its sandbox are none the worse; without the runtime zygote there are no more
// of them.
void Fleet::give_up(Process& zygote, base::Error why) {
  if (zygote.subject == Subject::kSandbox) {
    kill_sandbox(*zygote.sandbox, std::move(why));
  } else {
    kill(zygote);
  }
}

void Fleet::on_control(Token token) {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    Process* process = find(token);
    if (process == nullptr || !process->control.valid()) return;
    base::Result<std::optional<os::Received>> received = os::recv_message(process->control);
    if (!received) {
      kill_sandbox(*process->sandbox, broke_protocol(received.error().message));
      return;
    }
    if (!*received) return;
    if (!on_message(*process, std::move(**received))) return;
  }
}

// False when nothing more is to be read from this socket now.
bool Fleet::on_message(Process& process, os::Received received) {
  if (received.bytes.empty()) {
    ground_.poller.forget(process.control.get());
    process.control.reset();
    // An instance closes its end after kGo. A zygote without it is of no use; most often it is just dying.
    if (process.life == Life::kOrdered && process.subject != Subject::kSandbox) {
      fail_birth(process.token, base::unavailable("the fork ended before it was born"));
    } else if (process.subject != Subject::kInstance && process.pidfd.valid()) {
      static_cast<void>(os::signal_process(process.pidfd, SIGKILL));
    }
    return false;
  }
  const bool zygote = process.subject != Subject::kInstance;
  const auto handle = [&]() -> base::Result<> {
    EBB_TRY(const wire::Message message, wire::decode_message(received.bytes));
    const auto type = static_cast<ZygoteType>(message.type);
    if (type == ZygoteType::kBorn && process.life == Life::kOrdered) return born(process, received);
    if (type == ZygoteType::kReady && zygote && process.life == Life::kBorn) {
      EBB_TRY(const wire::ZygoteReady answer, wire::decode<wire::ZygoteReady>(message.payload));
      return ready(process, answer);
    }
    if (type == ZygoteType::kInitFailed && zygote && process.life == Life::kBorn) {
      EBB_TRY(const wire::InitFailed told, wire::decode_init_failed(message.payload));
      init_failed(process, told);
      return {};
    }
    if (type == ZygoteType::kForked && zygote && process.life == Life::kRunning) {
      EBB_TRY(const wire::ForkedPid answer, wire::decode_forked(message.payload));
      return forked(process, answer);
    }
    // What a dying process still says does not matter.
    if (process.life == Life::kEnding) return {};
    return base::invalid_argument("message " + std::to_string(message.type) + " out of turn");
  };
  Sandbox& sandbox = *process.sandbox;
  const base::Result<> handled = handle();
  if (handled) return true;
  kill_sandbox(sandbox, broke_protocol(handled.error().message));
  return false;
}

// The kernel vouches for the pid. Where it passes no pidfd with it, the pid could have been given to another process
// since, so that one must be seen to be in this sandbox after it has been pinned.
base::Result<> Fleet::verify(const Process& process, os::Received& received) {
  const pid_t pid = received.pid;
  if (pid <= 0 || pid == process.sandbox->init_pid) return base::invalid_argument("a birth without a pid of its own");
  if (const auto known = by_pid_.find(pid); known != by_pid_.end()) {
    // The same number again is a lie, unless its first owner has just ended.
    if (find(known->second)->life != Life::kEnding) return base::invalid_argument("a second birth of one process");
  }
  if (received.pidfd.valid()) return {};
  EBB_TRY(received.pidfd, os::open_pidfd(pid));
  const Process* source = find(process.source);
  const std::string& group = source == nullptr || source->cgroup.empty() ? process.sandbox->cgroup : source->cgroup;
  if (!ground_.cgroups.contains(group, pid)) return base::not_found("the newborn has ended");
  return {};
}

base::Result<> Fleet::admit(Process& process) {
  if (process.slot) return process.slot->doors.admit(process.pid);
  if (!process.cgroup.empty()) return ground_.cgroups.admit(process.cgroup, process.pid);
  return {};  // a runtime zygote was born in its sandbox's
}

// The processes of a version share the network namespace of its zygote. An instance that was forked from the runtime
// zygote, because its function's own cannot be forked, or started fresh, has one of its own.
base::Result<> Fleet::link(Process& process) {
  if (process.version == nullptr || process.version->spec.reach == wire::Reach::kNothing) return {};
  const Process* source = find(process.source);
  const bool fresh = (process.sandbox->id & kFresh) != 0;
  if (process.subject == Subject::kInstance && !fresh && (source == nullptr || source->subject != Subject::kSandbox)) {
    return {};
  }
  EBB_TRY(const wire::Linked linked, ground_.network.attach(process.pidfd, process.version->spec));
  process.link = linked.link;
  daemon_.linked(linked);
  return {};
}

base::Result<> Fleet::born(Process& process, os::Received& received) {
  if (Process* source = find(process.source)) --source->unborn;
  process.order_sent = false;
  base::Result<> verified = verify(process, received);
  if (verified) {
    process.pid = received.pid;
    by_pid_[process.pid] = process.token;
    process.pidfd = std::move(received.pidfd);
    verified = admit(process);
    if (verified) verified = link(process);
  } else if (verified.error().code == base::Code::kInvalidArgument) {
    return verified;
  }
  const Token source_token = process.source;
  if (!verified) {
    fail_birth(process.token, base::unavailable("the fork could not be set up: " + verified.error().message));
  } else {
    if (process.subject == Subject::kSandbox) {
      process.inner_pid = innermost_pid(process.pid);
      process.sandbox->by_inner_pid[process.inner_pid] = process.token;
    }
    process.life = process.subject == Subject::kInstance ? Life::kRunning : Life::kBorn;
    // A failure here means that it has died; its pidfd tells.
    static_cast<void>(os::send_message(process.control, message_of(ZygoteType::kGo)));
    if (process.subject == Subject::kInstance) {
      os::UsageFiles usage = std::move(process.slot->usage);
      daemon_.forked(std::exchange(process.request, 0), std::move(usage.cpu), std::move(usage.memory_peak));
      process.oom = std::move(process.slot->oom);
      process.slot.reset();
      watch_memory(process);
    }
    if (process.subject != Subject::kSandbox) ground_.poller.cancel(process.deadline);
    if (process.subject == Subject::kZygote) limit_loading(process);
    watch_end(process);
  }
  if (Process* source = find(source_token)) send_orders(*source);
  return {};
}

void Fleet::limit_loading(Process& zygote) {
  // The daemon has its own, shorter patience; this one holds when it does not.
  zygote.deadline = ground_.poller.after(limits::kInitTimeout + limits::kBirthTimeout, [this, token = zygote.token] {
    Process* late = find(token);
    if (late == nullptr) return;
    late->failure =
        base::Error{.code = base::Code::kDeadlineExceeded, .message = "the function did not finish loading in time"};
    kill(*late);
  });
}

base::Result<> Fleet::forked(Process& zygote, const wire::ForkedPid& answer) {
  Process* child = find(answer.token);
  if (child == nullptr) return {};  // it came and went, or its birth was given up
  if (child->source != zygote.token) return base::invalid_argument("an answer for another zygote's child");
  if (answer.os_errno == 0) {
    if (child->inner_pid != 0 || answer.pid == 0) return base::invalid_argument("a second answer for one child");
    place_inside(*child, answer.pid);
    return {};
  }
  if (child->life != Life::kOrdered) return base::invalid_argument("a child that was born and not forked");
  base::Error error = base::os_error("fork in the sandbox", static_cast<int>(answer.os_errno));
  error.code = base::Code::kUnavailable;
  fail_birth(answer.token, std::move(error));
  send_orders(zygote);
  return {};
}

// From here on init's reports about `inner_pid` are about this child; one may have come already.
void Fleet::place_inside(Process& child, std::uint32_t inner_pid) {
  Sandbox& sandbox = *child.sandbox;
  child.inner_pid = inner_pid;
  sandbox.by_inner_pid[inner_pid] = child.token;
  --sandbox.unplaced;
  const auto reaped = std::find_if(sandbox.unclaimed.begin(), sandbox.unclaimed.end(),
                                   [&](const wire::Reaped& earlier) { return earlier.pid == inner_pid; });
  std::optional<wire::Reaped> claimed;
  if (reaped != sandbox.unclaimed.end()) claimed = *reaped;
  if (sandbox.unplaced == 0) sandbox.unclaimed.clear();
  if (claimed) claim_reaped(sandbox, *claimed);
}

base::Result<> Fleet::ready(Process& zygote, const wire::ZygoteReady& answer) {
  ground_.poller.cancel(zygote.deadline);
  zygote.life = Life::kRunning;
  zygote.ready = answer;
  loaded(zygote);
  // It will never be forked; what its init left running (threads, children) is to use no processor.
  if (zygote.subject == Subject::kZygote && !answer.forkable) {
    zygote.frozen = ground_.cgroups.freeze(zygote.cgroup, true).has_value();
  }
  if (zygote.subject == Subject::kZygote && answer.forkable) {
    give_huge_pages(zygote);
  } else {
    answer_ready(zygote);
  }
  return {};
}

// Whoever waits for the zygote waits for this too: forks during it would be the slow ones it prevents.
void Fleet::give_huge_pages(Process& zygote) {
  const auto collapse = [pid = zygote.pid, &pidfd = zygote.pidfd] { return collapse_memory(pid, pidfd); };
  const base::Result<> started = workers_.start(collapse, [this, token = zygote.token](bool) {
    if (Process* prepared = find(token)) answer_ready(*prepared);
  });
  if (!started) answer_ready(zygote);
}

void Fleet::answer_ready(Process& zygote) {
  if (zygote.request == 0) return;
  // A runtime zygote is in its sandbox's, with init.
  const std::string& cgroup = zygote.cgroup.empty() ? zygote.sandbox->cgroup : zygote.cgroup;
  const std::uint64_t bytes = ground_.cgroups.memory_in_use(cgroup, 0);
  zygote.used_bytes = bytes;
  daemon_.zygote_ready(std::exchange(zygote.request, 0), {.zygote = zygote.ready, .memory_bytes = bytes});
}

void Fleet::init_failed(Process& zygote, const wire::InitFailed& told) {
  base::Error error{.code = base::Code::kFunctionFailed, .message = told.type + ": " + told.message};
  if (zygote.subject == Subject::kSandbox) {
    error.code = base::Code::kInternal;
    kill_sandbox(*zygote.sandbox, std::move(error));
    return;
  }
  zygote.failure = std::move(error);
  zygote.failure_detail = told.trace;
  kill(zygote);
}

// The answer is given and nothing of the order stays. A child that is born all the same finds its socket closed and
// exits.
void Fleet::fail_birth(Token token, base::Error error) {
  Process* child = find(token);
  if (child == nullptr) return;
  if (Process* source = find(child->source)) {
    if (child->order_sent) {
      --source->unborn;
    } else {
      std::erase_if(source->orders, [&](const BirthOrder& birth) { return birth.child == token; });
    }
  }
  if (child->pidfd.valid()) static_cast<void>(os::signal_process(child->pidfd, SIGKILL));
  if (child->request != 0) daemon_.failed(std::exchange(child->request, 0), error);
  erase(token);
}

}  // namespace ebb::launcher
