#include "io/hangup.h"

#include <sys/epoll.h>

#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <utility>

namespace ebb::io {

base::Result<std::shared_ptr<HangupWatch>> HangupWatch::open(asio::io_context& context) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return base::os_error("epoll_create1", errno);
  std::shared_ptr<HangupWatch> watch(new HangupWatch(context));
  watch->epoll_.assign(fd);
  spawn(context, "hangup watch", watch->watch(watch));
  return watch;
}

base::Result<HangupWatch::Token> HangupWatch::add(int socket, std::function<void()> gone) {
  const std::uint64_t token = next_token_++;
  epoll_event event{};
  event.events = EPOLLRDHUP | EPOLLET;
  event.data.u64 = token;
  watched_.emplace(token, std::move(gone));
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, socket, &event) != 0) {
    const int failed = errno;
    watched_.erase(token);
    return base::os_error("epoll_ctl", failed);
  }
  return Token{token};
}

void HangupWatch::remove(Token token, int socket) {
  watched_.erase(static_cast<std::uint64_t>(token));
  if (epoll_.is_open()) ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, socket, nullptr);
}

void HangupWatch::close() {
  watched_.clear();
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

Task<> HangupWatch::watch(std::shared_ptr<HangupWatch> self) {
  while (self->epoll_.is_open()) {
    boost::system::error_code failed;
    co_await self->epoll_.async_wait(asio::posix::descriptor_base::wait_read,
                                     asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return;
    self->deliver();
  }
}

void HangupWatch::deliver() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const auto found = watched_.find(events[static_cast<std::size_t>(i)].data.u64);
      if (found == watched_.end()) continue;  // removed since, perhaps by a callback of this very batch
      const std::function<void()> gone = std::move(found->second);
      watched_.erase(found);
      gone();
    }
    if (count < static_cast<int>(events.size()) || !epoll_.is_open()) return;
  }
}

}  // namespace ebb::io
