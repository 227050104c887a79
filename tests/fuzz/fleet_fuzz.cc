// The launcher's fleet fed with what hostile zygotes, instances, inits and a hostile daemon may say, in any order.
//
// Real: the fleet, its poller, sockets, descriptors, pidfds of processes that really end. Not there: namespaces and
// cgroups (an empty folder stands for the hierarchy), so births name processes of a pool kept for that. Whatever is
// said, nothing crashes or leaks, no request is answered twice, and killing all leaves the fleet empty. Needs root:
// only root may send another process's credentials.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "launcher/fleet.h"
#include "launcher/network.h"
#include "os/clone.h"
#include "os/pidfd.h"
#include "wire/message.h"

namespace ebb::launcher {
namespace {

// Bytes of the input, zeros after its end.
struct Input {
  const std::uint8_t* data;
  std::size_t left;
  std::uint8_t byte() {
    if (left == 0) return 0;
    --left;
    return *data++;
  }
  std::string bytes(std::size_t most) {
    const std::size_t count = std::min<std::size_t>(byte() % (most + 1), left);
    std::string taken(reinterpret_cast<const char*>(data), count);
    data += count;
    left -= count;
    return taken;
  }
};

// Processes that sleep until they are killed, or for a minute, so that none is left for long; births name them.
class Pool {
 public:
  os::ChildProcess& at(std::size_t index) {
    os::ChildProcess& child = children_[index % children_.size()];
    if (child.pid != 0 && !os::has_ended(child.pidfd)) return child;
    if (child.pid != 0) static_cast<void>(os::reap_child(child.pidfd));
    // Not a fork: copying the sanitizer's maps costs ten times the rest of a run.
    char* arguments[] = {const_cast<char*>("sleep"), const_cast<char*>("60"), nullptr};
    EBB_CHECK(::posix_spawn(&child.pid, "/bin/sleep", nullptr, nullptr, arguments, environ) == 0);
    base::Result<os::Fd> pidfd = os::open_pidfd(child.pid);
    EBB_CHECK(pidfd);
    child.pidfd = std::move(*pidfd);
    return child;
  }

 private:
  std::array<os::ChildProcess, 6> children_;
};

Pool& pool() {
  static Pool made;
  return made;
}

void say(const os::Fd& socket, pid_t sender, std::string_view bytes, std::size_t descriptors) {
  if (!socket.valid() || bytes.empty()) return;
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * 16)> control{};
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(sizeof(ucred)) + (descriptors > 0 ? CMSG_SPACE(sizeof(int) * descriptors) : 0);
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_CREDENTIALS;
  c->cmsg_len = CMSG_LEN(sizeof(ucred));
  const ucred credentials{.pid = sender, .uid = 0, .gid = 0};
  std::memcpy(CMSG_DATA(c), &credentials, sizeof credentials);
  if (descriptors > 0) {
    c = CMSG_NXTHDR(&header, c);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
    const int fd = socket.get();
    for (std::size_t i = 0; i < descriptors; ++i) std::memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
  }
  static_cast<void>(::sendmsg(socket.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL));
}

const std::string& hierarchy() {
  static const std::string path = [] {
    char pattern[] = "/tmp/ebb-fleet-fuzz-XXXXXX";
    static const std::string made = ::mkdtemp(pattern);
    std::atexit([] { std::filesystem::remove_all(made); });
    return made;
  }();
  return path;
}

os::Fd nothing() { return os::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

}  // namespace

struct FleetFuzz {
  Poller poller = *Poller::open();
  os::CgroupTree cgroups = *os::CgroupTree::find(
      "fuzz", "1 0 0:1 / " + hierarchy() + " rw - cgroup none rw,memory,cpu,cpuacct,pids,freezer\n");
  DataDirectory data;
  os::SyscallFilter filter;
  Network network{poller, {}, "fuzz"};
  os::Fd runtime;
  std::pair<os::Fd, os::Fd> link = *os::seqpacket_pair();
  DaemonLink daemon{poller, std::move(link.first)};
  Ground ground{.poller = poller,
                .cgroups = cgroups,
                .data = data,
                .zygote_filter = filter,
                .build_filter = filter,
                .network = network,
                .runtime = runtime,
                .python = "/usr/bin/python3"};
  std::unique_ptr<Fleet> fleet = std::make_unique<Fleet>(ground, daemon);
  os::Fd init;            // the hostile end of the init's socket
  os::Fd runtime_zygote;  // and of the zygotes'
  os::Fd function_zygote;
  std::vector<os::Fd> children;  // control sockets that came with orders
  std::map<std::uint64_t, int> answers;
  std::uint64_t requests = 0;

  FleetFuzz() {
    ::mkdir((hierarchy() + "/fuzz").c_str(), 0700);
    ::mkdir((hierarchy() + "/fuzz/app-a").c_str(), 0700);
    ::mkdir((hierarchy() + "/fuzz/app-a/v1").c_str(), 0700);
    auto version = std::make_unique<Version>();
    version->spec.version = base::VersionId{1};
    version->spec.app = "a";
    version->spec.memory_bytes = 1 << 20;
    version->spec.package_key = std::string(64, 'a');
    version->cgroup = "app-a/v1";
    for (int i = 0; i < 64; ++i) {
      version->slots.push_back({.cgroup = "app-a/v1/i", .usage = {.cpu = nothing(), .memory_peak = nothing()}});
    }
    fleet->versions_.emplace(base::VersionId{1}, std::move(version));

    auto sandbox = std::make_unique<Sandbox>();
    sandbox->id = 1;
    sandbox->app = "a";
    sandbox->cgroup = "app-a/s1";
    os::ChildProcess& first = pool().at(0);
    sandbox->init_pid = first.pid;
    sandbox->init_pidfd = os::Fd(::fcntl(first.pidfd.get(), F_DUPFD_CLOEXEC, 3));
    auto ends = *os::seqpacket_pair();
    init = std::move(ends.second);
    sandbox->init_control = std::move(ends.first);
    Sandbox& made = *fleet->sandboxes_.emplace(1, std::move(sandbox)).first->second;
    static_cast<void>(poller.watch(made.init_control.get(), [this] { fleet->on_init_control(1); }));
    static_cast<void>(poller.watch(made.init_pidfd.get(), [this] { fleet->on_init_end(1); }));
    Process& zygote = enlist(wire::Subject::kSandbox, made, nullptr, 1, runtime_zygote);
    made.runtime = zygote.token;
    enlist(wire::Subject::kZygote, made, fleet->find_version(base::VersionId{1}), 2, function_zygote);
  }

  // A zygote that is about to be born from a process of the pool.
  Process& enlist(wire::Subject subject, Sandbox& sandbox, Version* version, std::uint64_t id, os::Fd& hostile) {
    Process& process = fleet->enlist(subject, id, sandbox, version, ++requests);
    auto ends = *os::seqpacket_pair();
    EBB_CHECK(os::receive_credentials(ends.first));
    process.control = std::move(ends.first);
    process.order_sent = true;
    hostile = std::move(ends.second);
    const Token token = process.token;
    static_cast<void>(poller.watch(process.control.get(), [this, token] { fleet->on_control(token); }));
    return process;
  }

  os::Fd& speaker(std::uint8_t choice) {
    switch (choice % 4) {
      case 0: return runtime_zygote;
      case 1: return function_zygote;
      case 2: return init;
      default: return children.empty() ? function_zygote : children[choice / 4 % children.size()];
    }
  }

  // What zygotes were ordered: the sockets of children come with it.
  void take_orders() {
    for (os::Fd* zygote : {&runtime_zygote, &function_zygote}) {
      while (zygote->valid()) {
        auto received = os::recv_message(*zygote);
        if (!received || !*received || (*received)->bytes.empty()) break;
        if (!(*received)->fds.empty() && children.size() < 32) children.push_back(std::move((*received)->fds.front()));
      }
    }
  }

  void take_answers() {
    for (;;) {
      const auto received = os::recv_message(link.second);
      if (!received || !*received || (*received)->bytes.empty()) return;
      const auto message = wire::decode_message((*received)->bytes);
      EBB_CHECK(message);
      if (message->id != 0) EBB_CHECK(++answers[message->id] == 1);
    }
  }

  void turn() {
    poller.when_idle([] {});  // so that it does not wait
    poller.turn();
    take_orders();
    take_answers();
  }

  // A message of the protocol more often than not: random bytes rarely get past the header.
  void hostile_message(Input& input) {
    const os::Fd& socket = speaker(input.byte());
    const std::uint8_t how = input.byte();
    const pid_t sender = pool().at(1 + how % 5).pid;
    constexpr wire::ZygoteType kTypes[] = {wire::ZygoteType::kBorn,       wire::ZygoteType::kReady,
                                           wire::ZygoteType::kForked,     wire::ZygoteType::kReaped,
                                           wire::ZygoteType::kInitFailed, wire::ZygoteType::kGo};
    const auto type = kTypes[input.byte() % std::size(kTypes)];
    std::string payload;
    switch (input.byte() % 4) {
      case 0: payload = input.bytes(64); break;
      case 1:
        payload = wire::encode(wire::ForkedPid{input.byte(), input.byte() % 3 == 0 ? 11u : 0u, input.byte()});
        break;
      case 2: payload = wire::encode(wire::Reaped{input.byte(), input.byte()}); break;
      default: payload = wire::encode(wire::ZygoteReady{.init_ns = 1, .forkable = input.byte() % 4 != 0}); break;
    }
    if (type == wire::ZygoteType::kBorn) payload.clear();
    const std::string bytes =
        how % 16 == 15 ? input.bytes(200)
                       : wire::encode(wire::Message{.type = static_cast<std::uint16_t>(type), .payload = payload});
    say(socket, sender, bytes, how / 16 == 15 ? 9 : how / 16 == 14 ? 2 : 0);
  }

  void fork(std::uint64_t id, bool from_zygote) {
    const std::uint64_t request = ++requests;
    const auto ordered = fleet->fork_instance(request,
                                              {.instance = base::InstanceId{id},
                                               .source = from_zygote ? wire::Subject::kZygote : wire::Subject::kSandbox,
                                               .source_id = from_zygote ? 2u : 1u,
                                               .version = base::VersionId{1}},
                                              nothing(), nothing(), nothing());
    if (!ordered) daemon.failed(request, ordered.error());
  }

  // A zygote that gets ready, if it can still, and then takes no order. The daemon ends the instances that it waits for
  // in vain, so that none is unborn; what was ordered stays in the socket, until one more does not fit and the zygote
  // is given up within the order. Random steps do not get there: they would have to fill a socket.
  void orders_that_nobody_takes(Input& input) {
    const bool from_zygote = input.byte() % 4 != 0;
    Process* zygote = from_zygote ? fleet->find(wire::Subject::kZygote, 2) : fleet->find(wire::Subject::kSandbox, 1);
    if (zygote == nullptr || !zygote->control.valid()) return;
    const int least = 1;  // the kernel makes it some orders
    EBB_CHECK(::setsockopt(zygote->control.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
    const pid_t sender = pool().at(1 + input.byte() % 5).pid;
    for (const auto& [type, payload] :
         {std::pair(wire::ZygoteType::kBorn, std::string()),
          std::pair(wire::ZygoteType::kReady, wire::encode(wire::ZygoteReady{.init_ns = 1, .forkable = true}))}) {
      if (zygote->life == Life::kRunning) break;
      say(from_zygote ? function_zygote : runtime_zygote, sender,
          wire::encode(wire::Message{.type = static_cast<std::uint16_t>(type), .payload = payload}), 0);
    }
    turn();
    const std::uint8_t kept = input.byte();  // every so many stays unborn
    for (std::uint64_t id = 100; id < 116; ++id) {
      fork(id, from_zygote);
      if (kept < 16 || id % kept != 0) fleet->kill(wire::Subject::kInstance, id);
    }
  }

  void step(Input& input) {
    switch (input.byte() % 11) {
      case 0: {
        const bool from_zygote = input.byte() % 2 == 0;
        fork(input.byte() % 8u, from_zygote);
        break;
      }
      case 1: {
        const auto subject = static_cast<wire::Subject>(input.byte() % 4);
        if (subject != wire::Subject::kBuild) fleet->kill(subject, input.byte() % 8u);
        break;
      }
      case 2: {
        if (input.byte() % 8 != 0) break;
        const std::uint64_t request = ++requests;
        const auto dropped = fleet->drop_version(request, base::VersionId{1});
        if (!dropped) daemon.failed(request, dropped.error());
        break;
      }
      case 3: speaker(input.byte()).reset(); break;
      case 4: static_cast<void>(os::signal_process(pool().at(1 + input.byte() % 5).pidfd, SIGKILL)); break;
      case 5: turn(); break;
      case 6: orders_that_nobody_takes(input); break;
      default: hostile_message(input); break;
    }
  }

  void end() {
    fleet->kill_all();
    for (int turns = 0; !fleet->empty() && turns < 10'000; ++turns) {
      turn();
      if (!fleet->empty()) ::usleep(50);
    }
    EBB_CHECK(fleet->empty());
    EBB_CHECK(fleet->processes_.empty());
    take_answers();
    if (!daemon.broken()) {
      for (std::uint64_t request = 1; request <= 2; ++request) EBB_CHECK(answers[request] <= 1);
    }
  }
};

}  // namespace ebb::launcher

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  if (::geteuid() != 0) {
    std::fprintf(stderr, "fleet_fuzz: not root: nothing to do\n");
    std::exit(0);
  }
  ebb::base::set_log_level(ebb::base::LogLevel::kError);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ebb::launcher::FleetFuzz fuzz;
  ebb::launcher::Input input{data, std::min<std::size_t>(size, 2000)};
  while (input.left > 0) fuzz.step(input);
  fuzz.end();
  return 0;
}
