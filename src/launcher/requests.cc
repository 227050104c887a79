#include "launcher/requests.h"

#include "base/log.h"
#include "os/seqpacket.h"

namespace ebb::launcher {
namespace {

using wire::LauncherType;

constexpr int kMessagesPerTurn = 64;  // before sandboxes get their turn

base::Result<> need(const std::vector<os::Fd>& fds, std::size_t count) {
  if (fds.size() == count) return {};
  return base::invalid_argument("a request with " + std::to_string(fds.size()) + " descriptors instead of " +
                                std::to_string(count));
}

}  // namespace

Requests::Requests(const Ground& ground, os::Fd socket)
    : poller_(ground.poller),
      network_(ground.network),
      daemon_(ground.poller, std::move(socket)),
      fleet_(ground, daemon_),
      builds_(ground, daemon_),
      memory_watch_(ground.poller, ground.cgroups, ground.memory_bytes, [this] { daemon_.memory_short(); }) {
  sound_ = poller_.watch(daemon_.socket().get(), [this] { on_readable(); }).has_value();
}

Requests::~Requests() { poller_.forget(daemon_.socket().get()); }

void Requests::kill_all() {
  fleet_.kill_all();
  builds_.kill_all();
}

void Requests::on_readable() {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    base::Result<std::optional<os::Received>> received = os::recv_message(daemon_.socket());
    if (received && !*received) return;
    // Too long, or with too many descriptors: it was taken off the socket, but there is no id to answer to.
    if (!received && received.error().code == base::Code::kInvalidArgument) {
      daemon_.failed(0, received.error());
      continue;
    }
    if (!received || (*received)->bytes.empty()) {
      sound_ = false;
      poller_.forget(daemon_.socket().get());
      return;
    }
    const base::Result<wire::Message> message = wire::decode_message((*received)->bytes);
    if (!message) {
      daemon_.failed(0, message.error());
      continue;
    }
    if ((*received)->fds_lost) {
      daemon_.failed(message->id, base::Error{.code = base::Code::kResourceExhausted,
                                              .message = "the launcher has no file descriptor left; raise its limit "
                                                         "(LimitNOFILE of the unit) or lower max_instances"});
      continue;
    }
    const base::Result<> performed = perform(*message, (*received)->fds);
    if (!performed) daemon_.failed(message->id, performed.error());
  }
}

base::Result<> Requests::perform(const wire::Message& message, std::vector<os::Fd>& fds) {
  switch (static_cast<LauncherType>(message.type)) {
    case LauncherType::kFork: {
      EBB_TRY(const wire::Fork wanted, wire::decode<wire::Fork>(message.payload));
      EBB_CHECKED(need(fds, 3));
      return fleet_.fork_instance(message.id, wanted, std::move(fds[0]), std::move(fds[1]), std::move(fds[2]));
    }
    case LauncherType::kStart: {
      EBB_TRY(const wire::Start wanted, wire::decode<wire::Start>(message.payload));
      EBB_CHECKED(need(fds, 3));
      return fleet_.start_instance(message.id, wanted, std::move(fds[0]), std::move(fds[1]), std::move(fds[2]));
    }
    case LauncherType::kKill: {
      EBB_TRY(const wire::Kill wanted, wire::decode<wire::Kill>(message.payload));
      if (wanted.subject == wire::Subject::kBuild) {
        builds_.kill(wanted.id);
      } else {
        fleet_.kill(wanted.subject, wanted.id);
      }
      daemon_.done(message.id);
      return {};
    }
    case LauncherType::kMakeSandbox: {
      EBB_TRY(const wire::MakeSandbox wanted, wire::decode<wire::MakeSandbox>(message.payload));
      EBB_CHECKED(need(fds, 2));
      return fleet_.make_sandbox(message.id, wanted, std::move(fds[0]), std::move(fds[1]));
    }
    case LauncherType::kMakeVersion: {
      EBB_TRY(wire::MakeVersion wanted, wire::decode<wire::MakeVersion>(message.payload));
      return fleet_.make_version(message.id, std::move(wanted));
    }
    case LauncherType::kDropVersion: {
      EBB_TRY(const wire::DropVersion wanted, wire::decode<wire::DropVersion>(message.payload));
      return fleet_.drop_version(message.id, wanted.version);
    }
    case LauncherType::kMakeZygote: {
      EBB_TRY(const wire::MakeZygote wanted, wire::decode<wire::MakeZygote>(message.payload));
      EBB_CHECKED(need(fds, 2));
      return fleet_.make_zygote(message.id, wanted, std::move(fds[0]), std::move(fds[1]));
    }
    case LauncherType::kBuild: {
      EBB_TRY(const wire::Build wanted, wire::decode<wire::Build>(message.payload));
      EBB_CHECKED(need(fds, 1));
      return builds_.start(message.id, wanted, std::move(fds[0]));
    }
    case LauncherType::kRemoveTree: {
      EBB_TRY(const wire::RemoveTree wanted, wire::decode<wire::RemoveTree>(message.payload));
      return builds_.remove_content(message.id, wanted);
    }
    case LauncherType::kOpenEgress: {
      if (!message.payload.empty()) return base::invalid_argument("an order to open egress says nothing more");
      EBB_CHECKED(network_.open());
      EBB_TRY(os::Fd udp, network_.resolver_udp());
      EBB_TRY(os::Fd tcp, network_.resolver_tcp());
      daemon_.egress_open(message.id, std::move(udp), std::move(tcp));
      return {};
    }
    case LauncherType::kAllowAddresses: {
      EBB_TRY(const wire::AllowAddresses wanted, wire::decode<wire::AllowAddresses>(message.payload));
      EBB_CHECKED(network_.allow(wanted));
      daemon_.done(message.id);
      return {};
    }
    case LauncherType::kFreeze:
    case LauncherType::kThaw: {
      EBB_TRY(const wire::FreezeOrder order, wire::decode<wire::FreezeOrder>(message.payload));
      fleet_.freeze(order, message.type == static_cast<std::uint16_t>(LauncherType::kFreeze));
      daemon_.done(message.id);
      return {};
    }
    case LauncherType::kReadCpu: {
      EBB_TRY(const wire::ReadCpu wanted, wire::decode<wire::ReadCpu>(message.payload));
      daemon_.cpu_use(message.id, fleet_.cpu_of(wanted.app));
      return {};
    }
    case LauncherType::kOpenSockets: {
      EBB_TRY(const wire::OpenSockets wanted, wire::decode<wire::OpenSockets>(message.payload));
      EBB_TRY(std::vector<os::Fd> sockets, fleet_.open_sockets(wanted));
      daemon_.sockets(message.id, std::move(sockets));
      return {};
    }
    case LauncherType::kDone:
    case LauncherType::kFailed:
    case LauncherType::kForked:
    case LauncherType::kZygoteReady:
    case LauncherType::kCpuUse:
    case LauncherType::kExited:
    case LauncherType::kLinked:
    case LauncherType::kUnlinked:
    case LauncherType::kMemoryShort: break;
  }
  return base::invalid_argument("message type " + std::to_string(message.type) + " is no request");
}

}  // namespace ebb::launcher
