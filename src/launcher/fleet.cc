#include "launcher/fleet.h"

#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/limits.h"
#include "base/log.h"
#include "launcher/interpreter.h"
#include "launcher/memory_watch.h"
#include "launcher/sandbox_start.h"
#include "os/mounts.h"
#include "os/path.h"
#include "os/pidfd.h"

namespace ebb::launcher {
namespace {

using os::CgroupTree;
using wire::Subject;

constexpr std::size_t kChildrenStep = 32;
constexpr auto kGrowing =
    std::chrono::milliseconds(500);            // an instance has by then taken most of what its first call needs
constexpr std::uint64_t kPidsMax = 4'000'000;  // the kernel's own bound on pids
constexpr const char* kZygoteScript = "/ebb/runtime/python/zygote.py";
constexpr const char* kAtforkLibrary = "python/libebb_atfork.so";

// Faults of some CPUs are worked round by these; an operator sets them for the launcher, zygotes must see them.
constexpr const char* kPassedOn[] = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"};

std::vector<std::string> zygote_environment(const os::Fd& runtime) {
  std::vector<std::string> env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
  if (os::open_beneath(runtime, kAtforkLibrary, 0)) {
    env.push_back(std::string("LD_PRELOAD=/ebb/runtime/") + kAtforkLibrary);
  }
  for (const char* name : kPassedOn) {
    if (const char* value = std::getenv(name)) env.push_back(std::string(name) + "=" + value);
  }
  return env;
}

// Libraries size their thread pools by the CPUs they may use; a zygote must stay single-threaded. Sandboxes take turns.
int one_cpu(std::uint64_t turn) {
  cpu_set_t mine;
  if (::sched_getaffinity(0, sizeof mine, &mine) != 0) return -1;
  const int count = CPU_COUNT(&mine);
  if (count == 0) return -1;
  auto skip = static_cast<int>(turn % static_cast<std::uint64_t>(count));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &mine) && skip-- == 0) return cpu;
  }
  return -1;
}

// Children count in their zygote's cgroup until they are moved to their own.
std::uint32_t with_births(std::uint64_t pids) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(pids + limits::kBirthsAtOncePerZygote, kPidsMax));
}

// What a child writes before it is in a cgroup of its own (page tables, stacks, the kernel's records of it) stays with
// its zygote's as long as the child is there: 0.6 MiB and a 512th of the zygote, measured; twice that, to be safe.
std::uint64_t left_by_child(std::uint64_t zygote_bytes) { return (std::uint64_t{5} << 18) + zygote_bytes / 256; }

std::uint64_t times(std::uint64_t one, std::uint64_t count) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(one, count, &product) ? UINT64_MAX / 2 : product;
}

}  // namespace

Fleet::~Fleet() {
  ground_.poller.forget_idle_work();
  for (auto& [token, process] : processes_) {
    forget(*process);
    ground_.network.release(process->link);
  }
  for (auto& [id, version] : versions_) ground_.poller.cancel(version->refill);
  for (auto& [id, sandbox] : sandboxes_) {
    ground_.poller.forget(sandbox->init_pidfd.get());
    ground_.poller.forget(sandbox->init_control.get());
    static_cast<void>(os::signal_process(sandbox->init_pidfd, SIGKILL));
  }
}

Process* Fleet::find(Token token) {
  const auto found = processes_.find(token);
  return found == processes_.end() ? nullptr : found->second.get();
}

Process* Fleet::find(Subject subject, std::uint64_t id) {
  const auto found = named_.find({subject, id});
  return found == named_.end() ? nullptr : find(found->second);
}

Version* Fleet::find_version(base::VersionId id) {
  const auto found = versions_.find(id);
  return found == versions_.end() ? nullptr : found->second.get();
}

std::vector<Token> Fleet::tokens_where(const std::function<bool(const Process&)>& wanted) const {
  std::vector<Token> tokens;
  for (const auto& [token, process] : processes_) {
    if (wanted(*process)) tokens.push_back(token);
  }
  return tokens;
}

// Of memory, what is in use, not what the limits would allow: most instances stay far below theirs. The kernel holds
// the whole to the budget; this is so that a start is refused, and not somebody's running work killed.
base::Result<> Fleet::check_room(const wire::Room& room) {
  if (processes_.size() >= limits::kSandboxProcesses) return base::unavailable("too many processes in sandboxes");
  if (ground_.memory_bytes == 0) return {};
  const std::uint64_t startable = startable_bytes(ground_.memory_bytes);
  const auto now = base::steady_now();
  for (; !growing_.empty() && growing_.front().until <= now; growing_.pop_front()) {
    if (Process* grown = find(growing_.front().token)) loaded(*grown);
  }
  const std::uint64_t reserved = std::min(startable, room.reserved_bytes);
  const std::uint64_t wanted = std::min(startable, most_expected(room.expected_bytes) + loading_bytes_ + reserved);
  const std::uint64_t used = ground_.cgroups.memory_in_use("", startable - wanted);
  if (used <= startable - wanted) return {};
  return base::Error{.code = base::Code::kResourceExhausted,
                     .message = "the functions of this node use " + std::to_string(used >> 20) + " MiB of its " +
                                std::to_string(ground_.memory_bytes >> 20) + " MiB of memory (memory_budget)" +
                                (reserved == 0 ? ""
                                               : ", of which others reserve " + std::to_string(reserved >> 20) +
                                                     " more (reserve, scale.reserve)") +
                                ", try later or raise it",
                     .retry_after = std::chrono::seconds(1)};
}

// One that needs more than half may try beside the other half.
std::uint64_t Fleet::most_expected(std::uint64_t bytes) const {
  return std::min(bytes, startable_bytes(ground_.memory_bytes) / 2);
}

void Fleet::expect(Process& process, std::uint64_t bytes) {
  if (ground_.memory_bytes == 0) return;
  process.loading_bytes = most_expected(bytes);
  loading_bytes_ += process.loading_bytes;
  if (process.subject == Subject::kInstance)
    growing_.push_back({.token = process.token, .until = base::steady_now() + kGrowing});
}

base::Result<> Fleet::claim_ids(const std::string& app, std::uint32_t uid_index) {
  const auto [claimed, fresh] = apps_.emplace(uid_index, app);
  if (fresh || claimed->second == app) return {};
  return base::invalid_argument("uid range " + std::to_string(uid_index) + " belongs to app " + claimed->second);
}

base::Result<std::vector<os::Fd>> Fleet::open_image(const std::vector<std::string>& layers) const {
  std::vector<os::Fd> opened;
  for (const std::string& key : layers) {
    EBB_TRY(os::Fd layer, ground_.data.open_content(wire::TreeKind::kLayer, key));
    opened.push_back(std::move(layer));
  }
  return opened;
}

base::Result<std::string> Fleet::make_app_group(const std::string& app) {
  std::string group = app_group(app);
  removals_.keep(group);
  EBB_CHECKED(ground_.cgroups.make(group, CgroupTree::Place::kInner));
  weights_.add(group);
  cpu_.add_app(group);
  return group;
}

Process& Fleet::enlist(Subject subject, std::uint64_t id, Sandbox& sandbox, Version* version, std::uint64_t request) {
  auto process = std::make_unique<Process>();
  process->token = next_token_++;
  process->subject = subject;
  process->id = id;
  process->sandbox = &sandbox;
  process->version = version;
  process->request = request;
  if (version != nullptr) ++version->processes;
  if (subject != Subject::kSandbox) ++sandbox.unplaced;
  named_.emplace(std::pair(subject, id), process->token);
  Process& enlisted = *process;
  processes_.emplace(enlisted.token, std::move(process));
  return enlisted;
}

base::Result<> Fleet::make_sandbox(std::uint64_t request, const wire::MakeSandbox& wanted, os::Fd out, os::Fd err) {
  const std::uint64_t id = raw(wanted.sandbox);
  if (ground_.user_namespaces != os::UserNamespaces::kForAll) {
    daemon_.zygote_ready(request, {.zygote = {.forkable = false, .unfit_reason = ground_.no_forks_because}});
    return {};
  }
  if (sandboxes_.contains(id) || (id & kFresh) != 0)
    return base::invalid_argument("sandbox " + std::to_string(id) + " exists");
  EBB_CHECKED(check_room());
  EBB_CHECKED(claim_ids(wanted.app, wanted.uid_index));
  os::Fd layer;
  if (!wanted.layer_key.empty()) {
    EBB_TRY(layer, ground_.data.open_content(wire::TreeKind::kLayer, wanted.layer_key));
  }
  EBB_TRY(const std::vector<os::Fd> image, open_image(wanted.image_layers));
  EBB_TRY(RootPlan root, plan_root({.runtime = ground_.runtime.get(),
                                    .layer = layer.get(),
                                    .resolver = ground_.network.resolver_address(),
                                    .tmp_bytes = limits::kTmpBytes,
                                    .tmp_inodes = kTmpInodes,
                                    .image = numbers_of(image)}));
  EBB_TRY(const std::string group, make_app_group(wanted.app));
  auto sandbox = std::make_unique<Sandbox>();
  sandbox->id = id;
  sandbox->app = wanted.app;
  sandbox->uid_index = wanted.uid_index;
  // Numbered by the launcher: a daemon that was started anew counts its sandboxes anew, and the groups of those before
  // it are swept until they are gone.
  sandbox->cgroup = group + "/s" + std::to_string(++sandboxes_made_);
  EBB_CHECKED(ground_.cgroups.make(sandbox->cgroup, CgroupTree::Place::kLeaf));
  cpu_.add(group, AppCpu::Part::kRuntimes, sandbox->cgroup);

  const auto start = [&]() -> base::Result<os::Fd> {
    os::CgroupLimits cgroup_limits;
    if (wanted.memory_bytes > 0) cgroup_limits.memory_bytes = wanted.memory_bytes;
    if (wanted.pids > 0) cgroup_limits.pids = with_births(wanted.pids);
    EBB_CHECKED(ground_.cgroups.limit(sandbox->cgroup, cgroup_limits));
    EBB_TRY(auto control, os::seqpacket_pair());
    EBB_CHECKED(os::receive_credentials(control.first));
    SandboxSpec spec{.cgroup = sandbox->cgroup,
                     .uid_first = ground_.uid_base + wanted.uid_index * kIdsPerSandbox,
                     .own_network = true,
                     .root = std::move(root)};
    spec.payload.argv = python_command(ground_.python, !image.empty());
    spec.payload.argv.push_back(kZygoteScript);
    spec.payload.env = zygote_environment(ground_.runtime);
    spec.payload.out = std::move(out);
    spec.payload.err = std::move(err);
    spec.payload.control = std::move(control.second);
    spec.payload.filter = &ground_.zygote_filter;
    spec.payload.cpu = one_cpu(id);
    EBB_TRY(StartedSandbox started, start_sandbox(ground_.cgroups, std::move(spec)));
    sandbox->init_pid = started.pid;
    sandbox->init_pidfd = std::move(started.pidfd);
    sandbox->init_control = std::move(started.control);
    return std::move(control.first);
  };
  base::Result<os::Fd> control = start();
  if (!control) {
    removals_.add(sandbox->cgroup);
    return std::move(control).error();
  }
  Sandbox& made = *sandboxes_.emplace(id, std::move(sandbox)).first->second;
  Process& runtime = enlist(Subject::kSandbox, id, made, nullptr, request);
  made.runtime = runtime.token;
  runtime.order_sent = true;
  runtime.memory_bytes = wanted.memory_bytes;
  runtime.control = std::move(*control);
  EBB_CHECKED(ground_.poller.watch(runtime.control.get(), [this, token = runtime.token] { on_control(token); }));
  EBB_CHECKED(ground_.poller.watch(made.init_control.get(), [this, id] { on_init_control(id); }));
  EBB_CHECKED(ground_.poller.watch(made.init_pidfd.get(), [this, id] { on_init_end(id); }));
  runtime.deadline = ground_.poller.after(limits::kRuntimeInitTimeout, [this, id] {
    if (const auto found = sandboxes_.find(id); found != sandboxes_.end()) {
      kill_sandbox(*found->second, base::unavailable("the runtime did not become ready in time"));
    }
  });
  return {};
}

base::Result<> Fleet::make_version(std::uint64_t request, wire::MakeVersion wanted) {
  const base::VersionId id = wanted.version;
  if (const Version* version = find_version(id); version != nullptr) {
    const std::string name = "version " + std::to_string(raw(id));
    return version->dropping ? base::unavailable(name + " is still being dropped, try again")
                             : base::invalid_argument(name + " exists");
  }
  EBB_CHECKED(claim_ids(wanted.app, wanted.uid_index));
  if (wanted.reach != wire::Reach::kNothing) EBB_CHECKED(ground_.network.open());
  if (!ground_.data.has_content(wire::TreeKind::kPackage, wanted.package_key)) {
    return base::not_found("package " + wanted.package_key + " is not on this node; deploy again");
  }
  EBB_TRY(const std::string group, make_app_group(wanted.app));
  auto version = std::make_unique<Version>();
  // A dropped version's groups are removed a little later: the same version made anew must not live in them.
  version->cgroup = group + "/v" + std::to_string(raw(id)) + "." + std::to_string(++versions_made_);
  EBB_CHECKED(ground_.cgroups.make(version->cgroup, CgroupTree::Place::kInner));
  // Room for every instance, the zygote, and the next zygote while it takes over.
  const std::uint64_t parts = std::uint64_t{wanted.instances_max} + 2;
  const std::uint32_t pids = with_births(times(wanted.pids, parts));
  base::Result<> limited = ground_.cgroups.limit(
      version->cgroup,
      {.memory_bytes = times(wanted.memory_bytes + left_by_child(wanted.memory_bytes), parts), .pids = pids});
  if (!limited) {
    removals_.add(version->cgroup);
    return limited;
  }
  version->spec = std::move(wanted);
  versions_.emplace(id, std::move(version));
  daemon_.done(request);
  refill_slots(id);
  return {};
}

base::Result<> Fleet::make_zygote(std::uint64_t request, const wire::MakeZygote& wanted, os::Fd out, os::Fd err) {
  const std::uint64_t id = raw(wanted.zygote);
  Version* version = find_version(wanted.version);
  Process* runtime = find(Subject::kSandbox, raw(wanted.sandbox));
  if (version == nullptr || version->dropping) {
    return base::not_found("version " + std::to_string(raw(wanted.version)) + " is not known");
  }
  if (runtime == nullptr || runtime->life != Life::kRunning) {
    return base::unavailable("sandbox " + std::to_string(raw(wanted.sandbox)) + " is not ready");
  }
  if (runtime->sandbox->app != version->spec.app) return base::invalid_argument("the sandbox belongs to another app");
  if (find(Subject::kZygote, id) != nullptr) {
    return base::invalid_argument("zygote " + std::to_string(id) + " exists");
  }
  EBB_CHECKED(check_room(wanted.room));
  EBB_CHECKED(make_room_for_children(*runtime));
  EBB_TRY(const os::Fd package, ground_.data.open_content(wire::TreeKind::kPackage, version->spec.package_key));
  EBB_TRY(os::Fd tree, os::clone_tree(package.get(), "", os::MountAccess::kReadOnly));
  const std::string cgroup = version->cgroup + "/z" + std::to_string(id);
  EBB_CHECKED(ground_.cgroups.make(cgroup, CgroupTree::Place::kLeaf));
  cpu_.add(app_group(version->spec.app), AppCpu::Part::kZygotes, cgroup);

  Process& zygote = enlist(Subject::kZygote, id, *runtime->sandbox, version, request);
  zygote.cgroup = cgroup;
  zygote.memory_bytes = version->spec.memory_bytes;
  expect(zygote, wanted.room.expected_bytes);
  std::vector<os::Fd> fds;
  fds.push_back(std::move(out));
  fds.push_back(std::move(err));
  fds.push_back(std::move(tree));
  base::Result<> ordered = ground_.cgroups.limit(
      cgroup, {.memory_bytes = version->spec.memory_bytes, .pids = with_births(version->spec.pids)});
  if (ordered) {
    ordered = order(*runtime, zygote, wire::ZygoteType::kForkFunction,
                    wire::encode_fork_function(zygote.token, version->spec.config), std::move(fds));
  }
  if (!ordered) fail_birth(zygote.token, std::move(ordered).error());
  return {};
}

// In steps, and never lowered: a step costs a few writes to cgroup files.
base::Result<> Fleet::make_room_for_children(Process& zygote) {
  if (zygote.memory_bytes == 0 || zygote.children < zygote.room_for_children) return {};
  const std::size_t room = zygote.children + kChildrenStep;
  const std::uint64_t bytes = zygote.memory_bytes + times(left_by_child(zygote.used_bytes), room);
  EBB_CHECKED(
      ground_.cgroups.limit(zygote.cgroup.empty() ? zygote.sandbox->cgroup : zygote.cgroup, {.memory_bytes = bytes}));
  zygote.room_for_children = room;
  return {};
}

base::Result<> Fleet::fork_instance(std::uint64_t request, const wire::Fork& wanted, os::Fd channel, os::Fd out,
                                    os::Fd err) {
  const std::uint64_t id = raw(wanted.instance);
  Version* version = find_version(wanted.version);
  Process* zygote = find(wanted.source, wanted.source_id);
  if (version == nullptr || version->dropping) {
    return base::not_found("version " + std::to_string(raw(wanted.version)) + " is not known");
  }
  if (zygote == nullptr || zygote->life != Life::kRunning) return base::not_found("the zygote is not there any more");
  if (!zygote->ready.forkable)
    return base::invalid_argument("the zygote cannot be forked: " + zygote->ready.unfit_reason);
  const bool from_runtime = zygote->subject == Subject::kSandbox;
  if (from_runtime ? zygote->sandbox->app != version->spec.app : zygote->version != version) {
    return base::invalid_argument("the zygote belongs to another app or version");
  }
  if (find(Subject::kInstance, id) != nullptr) {
    return base::invalid_argument("instance " + std::to_string(id) + " exists");
  }
  EBB_CHECKED(check_room(wanted.room));
  EBB_CHECKED(make_room_for_children(*zygote));
  std::vector<os::Fd> fds;
  fds.push_back(std::move(channel));
  fds.push_back(std::move(out));
  fds.push_back(std::move(err));
  if (from_runtime) {
    EBB_TRY(const os::Fd package, ground_.data.open_content(wire::TreeKind::kPackage, version->spec.package_key));
    EBB_TRY(os::Fd tree, os::clone_tree(package.get(), "", os::MountAccess::kReadOnly));
    fds.push_back(std::move(tree));
  }
  Process& instance = enlist(Subject::kInstance, id, *zygote->sandbox, version, request);
  expect(instance, wanted.room.expected_bytes);
  const Token token = instance.token;
  base::Result<> ordered =
      order(*zygote, instance, wire::ZygoteType::kForkInstance,
            wire::encode_fork_instance(instance.token, from_runtime, from_runtime ? version->spec.config : ""),
            std::move(fds));
  if (!ordered) {
    fail_birth(token, std::move(ordered).error());
    return {};
  }
  if (find(token) == nullptr) return {};  // the zygote was given up over it, and it was answered
  // The zygote is forking by now; making a cgroup, when none is left in stock, hides behind that.
  base::Result<InstanceSlot> slot = take_slot(*version);
  if (!slot) {
    fail_birth(token, std::move(slot).error());
    return {};
  }
  instance.slot = std::move(*slot);
  instance.cgroup = instance.slot->cgroup;
  refill_slots(wanted.version);
  return {};
}

base::Result<> Fleet::drop_version(std::uint64_t request, base::VersionId id) {
  Version* version = find_version(id);
  if (version == nullptr) {
    daemon_.done(request);
    return {};
  }
  if (version->dropping) return base::invalid_argument("version " + std::to_string(raw(id)) + " is being dropped");
  version->dropping = true;
  version->drop_request = request;
  for (const Token token : tokens_where([&](const Process& process) { return process.version == version; })) {
    if (Process* process = find(token)) kill(*process);
  }
  if (version = find_version(id); version != nullptr && version->processes == 0) finish_drop(*version);
  return {};
}

void Fleet::finish_drop(Version& version) {
  for (InstanceSlot& slot : version.slots) removals_.add(std::move(slot.cgroup));
  removals_.add(version.cgroup);
  ground_.poller.cancel(version.refill);
  ground_.poller.cancel(version.slots_rest);
  daemon_.done(version.drop_request);
  const std::string app = version.spec.app;
  versions_.erase(version.spec.version);
  release_app(app);
}

// With its last sandbox and version an app's range of uids and its group are free: another app may get the range.
void Fleet::release_app(const std::string& app) {
  for (const auto& [id, sandbox] : sandboxes_) {
    if (sandbox->app == app) return;
  }
  for (const auto& [id, version] : versions_) {
    if (version->spec.app == app) return;
  }
  std::erase_if(apps_, [&](const auto& claimed) { return claimed.second == app; });
  weights_.remove(app_group(app));
  removals_.add(app_group(app));
}

}  // namespace ebb::launcher
