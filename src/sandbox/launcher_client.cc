#include "sandbox/launcher_client.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "base/limits.h"
#include "base/log.h"
#include "os/seqpacket.h"

namespace ebb::sandbox {

namespace asio = io::asio;

namespace {

base::Error launcher_died() { return base::unavailable("the launcher is gone, the node restarts"); }

}  // namespace

std::shared_ptr<LauncherClient> LauncherClient::start(asio::io_context& home, os::Fd socket, ExitHandler exited,
                                                      LostHandler lost) {
  std::shared_ptr<LauncherClient> client(
      new LauncherClient(home, std::move(socket), std::move(exited), std::move(lost)));
  io::spawn(home, "launcher answers", receive_all(client));
  return client;
}

void LauncherClient::tell_of_links(LinkedHandler linked, UnlinkedHandler unlinked) {
  linked_ = std::move(linked);
  unlinked_ = std::move(unlinked);
}

void LauncherClient::tell_of_memory(MemoryShortHandler memory_short) { memory_short_ = std::move(memory_short); }

// The reactor watches a duplicate, so that sending from other cores needs none of its state.
LauncherClient::LauncherClient(asio::io_context& home, os::Fd socket, ExitHandler exited, LostHandler lost)
    : socket_(std::move(socket)),
      watched_(home, ::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0)),
      exited_(std::move(exited)),
      lost_(std::move(lost)) {}

io::Task<base::Result<LauncherAnswer>> LauncherClient::ask(wire::LauncherType type, std::string payload,
                                                           std::vector<os::Fd> fds, base::Duration limit,
                                                           std::string* detail) {
  const Waiter waiter = std::make_shared<io::OneShot<base::Result<LauncherAnswer>>>();
  std::uint64_t id = 0;
  {
    base::MutexLock lock(mutex_);
    if (dead_) co_return launcher_died();
    id = next_id_++;
    waiting_.emplace(id, waiter);
  }
  send(Outgoing{.bytes = wire::encode(
                    wire::Message{.type = static_cast<std::uint16_t>(type), .id = id, .payload = std::move(payload)}),
                .fds = std::move(fds)});
  const base::SteadyTime deadline = base::steady_now() + limit;
  auto answer = co_await waiter->wait(deadline);
  if (!answer) {
    base::MutexLock lock(mutex_);
    waiting_.erase(id);
    if (base::steady_now() < deadline) co_return base::Error{.code = base::Code::kCancelled, .message = "cancelled"};
    co_return base::Error{.code = base::Code::kDeadlineExceeded,
                          .message = "the launcher did not answer within " + base::to_string(limit)};
  }
  if (!*answer) co_return answer->error();
  if ((*answer)->type == wire::LauncherType::kFailed) {
    const auto failed = wire::decode<wire::Failed>((*answer)->payload);
    if (!failed) co_return failed.error();
    if (detail != nullptr) *detail = failed->detail;
    co_return base::Error{.code = failed->code, .message = failed->message};
  }
  co_return std::move(**answer);
}

void LauncherClient::tell(wire::LauncherType type, std::string payload) {
  std::uint64_t id = 0;
  {
    base::MutexLock lock(mutex_);
    if (dead_) return;
    id = next_id_++;
  }
  send(Outgoing{.bytes = wire::encode(
                    wire::Message{.type = static_cast<std::uint16_t>(type), .id = id, .payload = std::move(payload)}),
                .fds = {}});
}

void LauncherClient::kill(wire::Subject subject, std::uint64_t id) {
  tell(wire::LauncherType::kKill, encode(wire::Kill{.subject = subject, .id = id}));
}

void LauncherClient::send(Outgoing out) {
  base::MutexLock lock(mutex_);
  if (dead_) return;
  if (outbox_.empty() && send_now(out)) return;
  // The launcher falls behind: what waits is bounded by the callers that wait for answers, and kills.
  EBB_CHECK(outbox_.size() < limits::kLauncherOutbox);
  outbox_.push_back(std::move(out));
  if (outbox_.size() == 1) io::spawn(watched_.get_executor(), "launcher outbox", flush(shared_from_this()));
}

// False when the socket is full. A dead peer counts as sent: receive_all notices.
bool LauncherClient::send_now(const Outgoing& out) {
  std::vector<int> fds;
  for (const os::Fd& fd : out.fds) fds.push_back(fd.get());
  const auto sent = os::send_message(socket_, out.bytes, fds);
  return sent || sent.error().os_errno != EAGAIN;
}

io::Task<> LauncherClient::flush(std::shared_ptr<LauncherClient> self) {
  const auto token = asio::as_tuple(asio::use_awaitable);
  for (;;) {
    const auto [error] = co_await self->watched_.async_wait(asio::posix::stream_descriptor::wait_write, token);
    base::MutexLock lock(self->mutex_);
    if (error || self->dead_) co_return;
    while (!self->outbox_.empty() && self->send_now(self->outbox_.front())) self->outbox_.pop_front();
    if (self->outbox_.empty()) co_return;
  }
}

io::Task<> LauncherClient::receive_all(std::shared_ptr<LauncherClient> self) {
  const auto token = asio::as_tuple(asio::use_awaitable);
  for (;;) {
    const auto [error] = co_await self->watched_.async_wait(asio::posix::stream_descriptor::wait_read, token);
    if (error) break;
    bool open = true;
    // Everything that is there, before going back to sleep.
    while (open) {
      auto received = os::recv_message(self->socket_);
      if (received && !*received) break;
      open = received && !(*received)->bytes.empty();
      if (open) self->deliver((*received)->bytes, std::move((*received)->fds));
    }
    if (!open) break;
  }
  self->fail_all();
  self->lost_();
}

void LauncherClient::deliver(std::string_view bytes, std::vector<os::Fd> fds) {
  auto message = wire::decode_message(bytes);
  if (!message) {
    base::log(base::LogLevel::kError, "launcher_message_broken", {{"error", message.error().message}});
    return;
  }
  const auto type = static_cast<wire::LauncherType>(message->type);
  if (type == wire::LauncherType::kExited) {
    const auto event = wire::decode<wire::Exited>(message->payload);
    if (event) exited_(*event);
    return;
  }
  if (type == wire::LauncherType::kLinked) {
    const auto event = wire::decode<wire::Linked>(message->payload);
    if (event && linked_) linked_(*event);
    return;
  }
  if (type == wire::LauncherType::kUnlinked) {
    const auto event = wire::decode<wire::Unlinked>(message->payload);
    if (event && unlinked_) unlinked_(*event);
    return;
  }
  if (type == wire::LauncherType::kMemoryShort) {
    if (memory_short_) memory_short_();
    return;
  }
  Waiter waiter;
  {
    base::MutexLock lock(mutex_);
    const auto at = waiting_.find(message->id);
    if (at == waiting_.end()) return;  // of tell(), or too late
    waiter = std::move(at->second);
    waiting_.erase(at);
  }
  waiter->set(LauncherAnswer{.type = type, .payload = std::move(message->payload), .fds = std::move(fds)});
}

void LauncherClient::fail_all() {
  std::unordered_map<std::uint64_t, Waiter> waiting;
  {
    base::MutexLock lock(mutex_);
    dead_ = true;
    outbox_.clear();
    waiting = std::move(waiting_);
    waiting_.clear();
  }
  for (const auto& [id, waiter] : waiting) waiter->set(launcher_died());
}

}  // namespace ebb::sandbox
