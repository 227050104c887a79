#include "launcher/daemon_link.h"

#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "wire/message.h"

namespace ebb::launcher {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(2);
constexpr std::size_t kTextBytes = 20 * 1024;  // of a message or a trace: both together fit a wire message

// Texts come from sandboxes too; the end of a traceback says more than its start.
std::string shortened(std::string text) {
  if (text.size() <= kTextBytes) return text;
  std::size_t from = text.size() - kTextBytes;
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;  // not within a letter
  return "..." + text.substr(from);
}

}  // namespace

void DaemonLink::done(std::uint64_t request) { send(wire::LauncherType::kDone, request, ""); }

void DaemonLink::failed(std::uint64_t request, const base::Error& error, std::string detail) {
  send(wire::LauncherType::kFailed, request,
       wire::encode(wire::Failed{
           .code = error.code, .message = shortened(error.message), .detail = shortened(std::move(detail))}));
}

void DaemonLink::zygote_ready(std::uint64_t request, wire::ZygoteMade made) {
  made.zygote.unfit_reason = shortened(std::move(made.zygote.unfit_reason));
  send(wire::LauncherType::kZygoteReady, request, wire::encode(made));
}

void DaemonLink::forked(std::uint64_t request, os::Fd cpu, os::Fd memory_peak) {
  std::vector<os::Fd> fds;
  fds.push_back(std::move(cpu));
  fds.push_back(std::move(memory_peak));
  send(wire::LauncherType::kForked, request, "", std::move(fds));
}

void DaemonLink::cpu_use(std::uint64_t request, const wire::CpuUse& use) {
  send(wire::LauncherType::kCpuUse, request, wire::encode(use));
}

void DaemonLink::exited(const wire::Exited& event) { send(wire::LauncherType::kExited, 0, wire::encode(event)); }

void DaemonLink::linked(const wire::Linked& event) { send(wire::LauncherType::kLinked, 0, wire::encode(event)); }

void DaemonLink::unlinked(const wire::Unlinked& event) { send(wire::LauncherType::kUnlinked, 0, wire::encode(event)); }

void DaemonLink::memory_short() {
  if (waiting_.empty()) send(wire::LauncherType::kMemoryShort, 0, "");
}

void DaemonLink::sockets(std::uint64_t request, std::vector<os::Fd> sockets) {
  send(wire::LauncherType::kDone, request, "", std::move(sockets));
}

void DaemonLink::egress_open(std::uint64_t request, os::Fd udp, os::Fd tcp) {
  std::vector<os::Fd> fds;
  fds.push_back(std::move(udp));
  fds.push_back(std::move(tcp));
  sockets(request, std::move(fds));
}

base::Result<> DaemonLink::send_now(const Outgoing& out) {
  std::vector<int> fds;
  for (const os::Fd& fd : out.fds) fds.push_back(fd.get());
  return os::send_message(socket_, out.bytes, fds);
}

void DaemonLink::send(wire::LauncherType type, std::uint64_t id, std::string payload, std::vector<os::Fd> fds) {
  if (broken_) return;
  Outgoing out{.bytes = wire::encode(
                   wire::Message{.type = static_cast<std::uint16_t>(type), .id = id, .payload = std::move(payload)}),
               .fds = std::move(fds)};
  waiting_.push_back(std::move(out));
  if (waiting_.size() > limits::kAnswersWaiting) broken_ = true;
  flush();
}

void DaemonLink::flush() {
  poller_.cancel(retry_);
  while (!waiting_.empty()) {
    const base::Result<> sent = send_now(waiting_.front());
    if (!sent && sent.error().os_errno == EAGAIN) {
      retry_ = poller_.after(kRetry, [this] { flush(); });
      return;
    }
    if (!sent) {
      broken_ = true;  // gone; the pidfd will say so too
      waiting_.clear();
      return;
    }
    waiting_.pop_front();
  }
}

}  // namespace ebb::launcher
