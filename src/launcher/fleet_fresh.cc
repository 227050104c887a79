// Instances that are not forked from a zygote: each has a sandbox of its own, in which the runtime boots and user init
// runs. For hosts that forbid what forks need, and for functions on a user-space kernel (gvisor.h).
//
// Such a sandbox is known by its instance's id with kFresh set. Its one process stands for it: the instance ends when
// init (or runsc) does, all that it started with it.
#include <fcntl.h>

#include <cerrno>

#include "base/limits.h"
#include "launcher/fleet.h"
#include "launcher/gvisor.h"
#include "launcher/interpreter.h"
#include "launcher/sandbox_start.h"
#include "os/path.h"
#include "os/pidfd.h"

namespace ebb::launcher {
namespace {

using wire::Subject;

constexpr const char* kFreshScript = "/ebb/runtime/python/fresh.py";

}  // namespace

base::Result<StartedSandbox> Fleet::start_fresh(const wire::Start& wanted, const Version& version,
                                                const std::string& cgroup, FreshFds fds) {
  EBB_TRY(const os::Fd package, ground_.data.open_content(wire::TreeKind::kPackage, version.spec.package_key));
  os::Fd layer;
  if (!wanted.layer_key.empty()) {
    EBB_TRY(layer, ground_.data.open_content(wire::TreeKind::kLayer, wanted.layer_key));
  }
  EBB_TRY(const std::vector<os::Fd> image, open_image(wanted.image_layers));
  const std::uint32_t uid_first = ground_.uid_base + version.spec.uid_index * kIdsPerSandbox;
  if (wanted.gvisor) {
    return ground_.gvisor->start_instance(ground_.cgroups, {.cgroup = cgroup,
                                                            .uid_first = uid_first,
                                                            .package = package,
                                                            .layer = layer,
                                                            .channel = fds.channel,
                                                            .out = fds.out,
                                                            .err = fds.err});
  }
  const bool user_namespace = ground_.user_namespaces != os::UserNamespaces::kNone;
  SandboxSpec spec{.cgroup = cgroup, .uid_first = uid_first, .own_network = true, .user_namespace = user_namespace};
  EBB_TRY(spec.root, plan_root({.runtime = ground_.runtime.get(),
                                .layer = layer.get(),
                                .package = package.get(),
                                .resolver = ground_.network.resolver_address(),
                                .tmp_bytes = limits::kTmpBytes,
                                .tmp_inodes = kTmpInodes,
                                .user = ids_of(user_namespace, uid_first).user,
                                .image = numbers_of(image),
                                .mask_proc = true}));
  spec.payload.argv = python_command(ground_.python, !image.empty());
  spec.payload.argv.insert(spec.payload.argv.end(), {kFreshScript, "3"});
  spec.payload.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
  spec.payload.out = std::move(fds.out);
  spec.payload.err = std::move(fds.err);
  spec.payload.control = std::move(fds.channel);
  spec.payload.filter = &ground_.build_filter;  // nothing in there forks a sandbox
  spec.payload.end_with_it = true;
  return start_sandbox(ground_.cgroups, std::move(spec));
}

base::Result<> Fleet::start_instance(std::uint64_t request, const wire::Start& wanted, os::Fd channel, os::Fd out,
                                     os::Fd err) {
  const std::uint64_t id = raw(wanted.instance);
  Version* version = find_version(wanted.version);
  if (version == nullptr || version->dropping) {
    return base::not_found("version " + std::to_string(raw(wanted.version)) + " is not known");
  }
  if (find(Subject::kInstance, id) != nullptr || (id & kFresh) != 0) {
    return base::invalid_argument("instance " + std::to_string(id) + " exists");
  }
  if (wanted.gvisor && ground_.gvisor == nullptr) {
    return base::invalid_argument(
        "isolation: gvisor needs the program runsc, which this node does not have: install it "
        "(https://gvisor.dev/docs/user_guide/install/) or name it under runsc in the configuration, and start ebb "
        "serve "
        "again");
  }
  if (wanted.gvisor && !wanted.image_layers.empty()) {
    return base::invalid_argument("isolation: gvisor runs no images; leave out one of the two");
  }
  if (wanted.gvisor && version->spec.reach != wire::Reach::kNothing) {
    return base::invalid_argument("isolation: gvisor has no way out to a network; leave out network: egress");
  }
  EBB_CHECKED(check_room(wanted.room));
  EBB_TRY(InstanceSlot slot, take_slot(*version));
  refill_slots(wanted.version);
  base::Result<StartedSandbox> started = start_fresh(
      wanted, *version, slot.cgroup, {.channel = std::move(channel), .out = std::move(out), .err = std::move(err)});
  if (!started) {
    removals_.add(slot.cgroup);
    return std::move(started).error();
  }
  os::Fd pidfd(::fcntl(started->pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (!pidfd.valid()) {
    const base::Error error = base::os_error("pidfd of an instance", errno);
    os::kill_and_reap(started->pidfd);
    removals_.add(slot.cgroup);
    return error;
  }
  auto sandbox = std::make_unique<Sandbox>();
  sandbox->id = id | kFresh;
  sandbox->app = version->spec.app;
  sandbox->uid_index = version->spec.uid_index;
  sandbox->init_pid = started->pid;
  sandbox->init_pidfd = std::move(started->pidfd);
  sandbox->init_control = std::move(started->control);
  Sandbox& made = *sandboxes_.emplace(sandbox->id, std::move(sandbox)).first->second;
  Process& instance = enlist(Subject::kInstance, id, made, version, request);
  expect(instance, wanted.room.expected_bytes);
  instance.life = Life::kRunning;
  instance.cgroup = slot.cgroup;
  instance.pid = started->pid;
  by_pid_[instance.pid] = instance.token;
  instance.pidfd = std::move(pidfd);
  place_inside(instance, kPidFloor + 1);  // the first process that init starts
  if (made.init_control.valid()) {
    EBB_CHECKED(ground_.poller.watch(made.init_control.get(), [this, key = made.id] { on_init_control(key); }));
  }
  EBB_CHECKED(ground_.poller.watch(made.init_pidfd.get(), [this, key = made.id] { on_init_end(key); }));
  if (base::Result<> linked = link(instance); !linked) {
    instance.failure = std::move(linked).error();  // told when it has ended
    kill(instance);
    return {};
  }
  instance.oom = std::move(slot.oom);
  watch_memory(instance);
  daemon_.forked(std::exchange(instance.request, 0), std::move(slot.usage.cpu), std::move(slot.usage.memory_peak));
  return {};
}

}  // namespace ebb::launcher
