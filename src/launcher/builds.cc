#include "launcher/builds.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <csignal>

#include "base/limits.h"
#include "base/log.h"
#include "launcher/sandbox_start.h"
#include "os/pidfd.h"
#include "os/seqpacket.h"
#include "wire/message.h"
#include "wire/zygote_protocol.h"

namespace ebb::launcher {
namespace {

constexpr const char* kGroup = "builds";

base::Error failed_build(std::string message) {
  return base::Error{.code = base::Code::kFunctionFailed, .message = std::move(message)};
}

}  // namespace

Builds::~Builds() {
  for (auto& [id, build] : running_) {
    ground_.poller.cancel(build->deadline);
    ground_.poller.forget(build->pidfd.get());
    ground_.poller.forget(build->control.get());
    static_cast<void>(os::signal_process(build->pidfd, SIGKILL));
  }
}

// Range 0 of the uids is for builds: what they leave is sealed to root or the daemon before any other sandbox sees it.
base::Result<SandboxSpec> Builds::plan(const Running& build, const os::Fd& output, os::Fd out) {
  os::Fd source;
  os::Fd layer;
  if (!build.wanted.source_key.empty()) {
    EBB_TRY(source, ground_.data.open_content(wire::TreeKind::kPackage, build.wanted.source_key));
  }
  if (!build.wanted.layer_key.empty()) {
    EBB_TRY(layer, ground_.data.open_content(wire::TreeKind::kLayer, build.wanted.layer_key));
  }
  const bool user_namespace = ground_.user_namespaces != os::UserNamespaces::kNone;
  SandboxSpec spec{.cgroup = build.cgroup,
                   .uid_first = ground_.uid_base,
                   .own_network = !build.wanted.host_network,
                   .user_namespace = user_namespace};
  EBB_TRY(spec.root, plan_root({.runtime = ground_.runtime.get(),
                                .layer = layer.get(),
                                .source = source.get(),
                                .output = output.get(),
                                .host_network = build.wanted.host_network,
                                .tmp_bytes = limits::kBuildTmpBytes,
                                .user = ids_of(user_namespace, ground_.uid_base).user}));
  spec.payload.argv = build.wanted.argv;
  spec.payload.env = build.wanted.env;
  spec.payload.directory = "/ebb/out";
  const int copy = ::fcntl(out.get(), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return base::os_error("duplicate a descriptor", errno);
  spec.payload.err = os::Fd(copy);
  spec.payload.out = std::move(out);
  spec.payload.filter = &ground_.build_filter;
  spec.payload.end_with_it = true;
  return spec;
}

base::Result<> Builds::start(std::uint64_t request, const wire::Build& wanted, os::Fd output) {
  if (running_.contains(wanted.build)) {
    return base::invalid_argument("build " + std::to_string(wanted.build) + " is running");
  }
  auto build = std::make_unique<Running>();
  build->wanted = wanted;
  build->request = request;
  build->output = std::to_string(wanted.build) + "-" + std::to_string(++names_given_);
  build->cgroup = std::string(kGroup) + "/b" + build->output;
  EBB_CHECKED(ground_.cgroups.make(kGroup, os::CgroupTree::Place::kInner));
  EBB_CHECKED(ground_.cgroups.make(build->cgroup, os::CgroupTree::Place::kLeaf));
  const auto begin = [&]() -> base::Result<> {
    os::CgroupLimits cgroup_limits{.pids = limits::kBuildPids};
    if (wanted.memory_bytes > 0) cgroup_limits.memory_bytes = wanted.memory_bytes;
    EBB_CHECKED(ground_.cgroups.limit(build->cgroup, cgroup_limits));
    const uid_t inner = ground_.uid_base + kInnerUser;
    EBB_TRY(const os::Fd directory, ground_.data.make_output(build->output, {.uid = inner, .gid = inner}));
    EBB_TRY(SandboxSpec spec, plan(*build, directory, std::move(output)));
    EBB_TRY(StartedSandbox started, start_sandbox(ground_.cgroups, std::move(spec)));
    build->pidfd = std::move(started.pidfd);
    build->control = std::move(started.control);
    return {};
  };
  if (base::Result<> begun = begin(); !begun) {
    removals_.add(build->cgroup);
    remove_output(build->output);
    return begun;
  }
  const std::uint64_t id = wanted.build;
  Running& running = *running_.emplace(id, std::move(build)).first->second;
  EBB_CHECKED(ground_.poller.watch(running.control.get(), [this, id] { listen(id); }));
  EBB_CHECKED(ground_.poller.watch(running.pidfd.get(), [this, id] { on_end(id); }));
  running.deadline = ground_.poller.after(limits::kBuildTimeout, [this, id] {
    Running& late = *running_.at(id);
    late.failure = base::Error{.code = base::Code::kDeadlineExceeded, .message = "the build did not end in time"};
    static_cast<void>(os::signal_process(late.pidfd, SIGKILL));
  });
  return {};
}

// Init tells the status of each process it reaps; the last one before its own end is the command's.
void Builds::listen(std::uint64_t id) {
  Running& build = *running_.at(id);
  for (;;) {
    const base::Result<std::optional<os::Received>> received = os::recv_message(build.control);
    if (received && !*received) return;
    if (!received || (*received)->bytes.empty()) {
      ground_.poller.forget(build.control.get());
      return;
    }
    const base::Result<wire::Message> message = wire::decode_message((*received)->bytes);
    if (!message) continue;
    if (message->type == static_cast<std::uint16_t>(wire::ZygoteType::kInitFailed)) {
      const base::Result<wire::InitFailed> told = wire::decode_init_failed(message->payload);
      build.failure = base::internal("the build could not be started: " + (told ? told->message : "no reason"));
      static_cast<void>(os::signal_process(build.pidfd, SIGKILL));
    } else if (message->type == static_cast<std::uint16_t>(wire::ZygoteType::kReaped)) {
      const base::Result<wire::Reaped> reaped = wire::decode_reaped(message->payload);
      if (reaped) build.wait_status = reaped->wait_status;
    }
  }
}

base::Result<> Builds::verdict(const Running& build, const os::CgroupUsage& usage) const {
  if (build.failure) return *build.failure;
  // A compiler that was killed for memory may look to the build like any failure; name the cause.
  const bool fine = build.wait_status && *build.wait_status == 0;
  if (fine) return {};
  if (usage.oom_kills > 0) {
    return failed_build("the build ran out of memory: its limit is " + std::to_string(build.wanted.memory_bytes) +
                        " bytes");
  }
  if (!build.wait_status) return failed_build("the build was killed");
  const int status = static_cast<int>(*build.wait_status);
  if (WIFSIGNALED(status)) return failed_build("the build ended by signal " + std::to_string(WTERMSIG(status)));
  return failed_build("the build ended with exit status " + std::to_string(WEXITSTATUS(status)));
}

void Builds::on_end(std::uint64_t id) {
  listen(id);
  std::unique_ptr<Running> build = std::move(running_.at(id));
  running_.erase(id);
  ground_.poller.cancel(build->deadline);
  ground_.poller.forget(build->control.get());
  ground_.poller.forget(build->pidfd.get());
  static_cast<void>(os::reap_child(build->pidfd));
  const base::Result<> built = verdict(*build, ground_.cgroups.usage(build->cgroup));
  removals_.add(build->cgroup);
  if (built) {
    publish(std::move(build));
    return;
  }
  daemon_.failed(build->request, built.error());
  remove_output(build->output);
}

// All processes of the build have ended with its init: nothing changes the tree while it is sealed.
void Builds::publish(std::unique_ptr<Running> build) {
  const std::shared_ptr<Running> shared = std::move(build);
  const auto seal = [this, shared] {
    const base::Result<> published =
        ground_.data.publish(shared->output, shared->wanted.output, shared->wanted.output_key);
    if (!published) base::log(base::LogLevel::kWarning, "build output refused", {{"error", published.error().message}});
    return published ? 0 : 1;
  };
  const base::Result<> started = workers_.start(seal, [this, shared](bool fine) {
    if (fine) {
      daemon_.done(shared->request);
      return;
    }
    daemon_.failed(shared->request,
                   failed_build("what the build left cannot be used: too many files, nested too deep, or "
                                "the disk is full"));
    remove_output(shared->output);
  });
  if (started) return;
  daemon_.failed(shared->request, started.error());
  remove_output(shared->output);
}

void Builds::remove_output(const std::string& name) {
  const auto remove = [this, &name] { return ground_.data.remove_output(name) ? 0 : 1; };
  const base::Result<> started = workers_.start(remove, [name](bool fine) {
    // The next start sweeps it.
    if (!fine) base::log(base::LogLevel::kWarning, "build output left behind", {{"name", name}});
  });
  if (!started) base::log(base::LogLevel::kWarning, "build output left behind", {{"error", started.error().message}});
}

base::Result<> Builds::remove_content(std::uint64_t request, const wire::RemoveTree& wanted) {
  const std::string trash = "trash-" + std::to_string(++names_given_);
  const base::Result<> discarded = ground_.data.discard(wanted.kind, wanted.key, trash);
  if (!discarded && discarded.error().code != base::Code::kNotFound) return discarded.error();
  if (discarded) remove_output(trash);
  daemon_.done(request);
  return {};
}

void Builds::kill(std::uint64_t build) {
  const auto found = running_.find(build);
  if (found == running_.end()) return;
  found->second->failure = base::Error{.code = base::Code::kCancelled, .message = "the build was killed"};
  static_cast<void>(os::signal_process(found->second->pidfd, SIGKILL));
}

void Builds::kill_all() {
  for (auto& [id, build] : running_) static_cast<void>(os::signal_process(build->pidfd, SIGKILL));
}

}  // namespace ebb::launcher
