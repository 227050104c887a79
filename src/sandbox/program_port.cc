#include "sandbox/program_port.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "base/limits.h"

namespace ebb::sandbox {

namespace asio = io::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds kSocketsLimit(10);  // the launcher's answer: it runs no user code for it

// Nothing has come, and the peer has not closed it.
bool is_quiet(int socket) {
  char byte = 0;
  const ssize_t got = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

std::optional<ProgramPort::Kept> ProgramPort::take_kept(asio::io_context& here) {
  base::MutexLock lock(mutex_);
  if (kept_.empty()) return std::nullopt;
  auto at = std::find_if(kept_.rbegin(), kept_.rend(), [&](const Kept& kept) { return kept.watched_by == &here; });
  if (at == kept_.rend()) at = kept_.rbegin();
  std::optional<Kept> taken(std::move(*at));
  kept_.erase(std::next(at).base());
  return taken;
}

std::optional<ProgramPort::Socket> ProgramPort::take(asio::io_context& here) {
  for (std::optional<Kept> kept = take_kept(here); kept; kept = take_kept(here)) {
    if (!is_quiet(kept->socket.native_handle())) continue;
    if (kept->watched_by == &here) return std::move(kept->socket);
    boost::system::error_code failed;
    os::Fd raw(kept->socket.release(failed));
    if (failed) continue;
    Socket moved(here);
    moved.assign(tcp::v4(), raw.get(), failed);
    if (failed) continue;
    [[maybe_unused]] const int owned_by_socket = raw.release();
    return moved;
  }
  return std::nullopt;
}

io::Task<base::Result<os::Fd>> ProgramPort::new_socket(std::shared_ptr<ProgramPort> self) {
  {
    base::MutexLock lock(self->mutex_);
    if (!self->sockets_.empty()) {
      os::Fd socket = std::move(self->sockets_.back());
      self->sockets_.pop_back();
      co_return socket;
    }
  }
  std::string order = wire::encode(
      wire::OpenSockets{.instance = self->instance_, .count = std::min(self->calls_max_, limits::kSocketsAtOnce)});
  std::vector<os::Fd> none;
  auto answer = co_await self->launcher_->ask(wire::LauncherType::kOpenSockets, std::move(order), std::move(none),
                                              kSocketsLimit, nullptr);
  if (!answer) co_return answer.error();
  if (answer->fds.empty()) co_return base::internal("the launcher's answer lacks the sockets");
  os::Fd socket = std::move(answer->fds.back());
  answer->fds.pop_back();
  base::MutexLock lock(self->mutex_);
  for (os::Fd& more : answer->fds) {
    if (self->sockets_.size() < limits::kSocketsAtOnce) self->sockets_.push_back(std::move(more));
  }
  co_return socket;
}

io::Task<base::Result<ProgramPort::Socket>> ProgramPort::connect(std::shared_ptr<ProgramPort> self,
                                                                 asio::io_context& here) {
  auto raw = co_await new_socket(self);
  if (!raw) {
    // What keeps the launcher from it, but for a lack of its own, is that the instance is ending.
    const base::Code why = raw.error().code;
    if (why == base::Code::kCancelled || why == base::Code::kResourceExhausted) co_return raw.error();
    co_return base::unavailable("cannot be reached: " + raw.error().message);
  }
  boost::system::error_code failed;
  Socket socket(here);
  socket.assign(tcp::v4(), raw->get(), failed);
  if (failed) co_return base::internal("assign of a socket: " + failed.message());
  [[maybe_unused]] const int owned_by_socket = raw->release();
  const tcp::endpoint program(asio::ip::address_v4::loopback(), self->port_);
  co_await socket.async_connect(program, asio::redirect_error(asio::use_awaitable, failed));
  if (failed == asio::error::operation_aborted)
    co_return base::Error{.code = base::Code::kCancelled, .message = "cancelled"};
  if (failed) co_return base::unavailable("its program does not accept connections: " + failed.message());
  socket.set_option(tcp::no_delay(true), failed);
  co_return socket;
}

void ProgramPort::keep(Socket socket, asio::io_context& here) {
  base::MutexLock lock(mutex_);
  if (kept_.size() < calls_max_) kept_.push_back(Kept{.socket = std::move(socket), .watched_by = &here});
}

}  // namespace ebb::sandbox
