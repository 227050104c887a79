// HangupWatch: tells a core at once that the other end of a socket has gone (closed, half-closed or reset).
//
// 1. It watches EPOLLRDHUP in an epoll of its own, so unread bytes (a pipelined request) are never mistaken for a
// departure
//    and never hide one, and a request costs nothing: a socket is added once, when it is accepted.
// 2. A callback runs at most once, on the watch's core, and never after remove().
// 3. A socket is removed before it is closed. Single core.
// Called by http's connections; a departure cancels the handler.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "io/task.h"

namespace ebb::io {

class HangupWatch : public std::enable_shared_from_this<HangupWatch> {
 public:
  enum class Token : std::uint64_t {};

  /// Errors: that of epoll_create1.
  static base::Result<std::shared_ptr<HangupWatch>> open(asio::io_context& context);

  /// `gone` is called when the peer of the socket goes away, also when it already has.
  /// Errors: that of epoll_ctl.
  base::Result<Token> add(int socket, std::function<void()> gone);
  void remove(Token token, int socket);
  /// Ends the watching task; pending callbacks are dropped.
  void close();

 private:
  explicit HangupWatch(asio::io_context& context) : epoll_(context) {}
  Task<> watch(std::shared_ptr<HangupWatch> self);
  void deliver();

  asio::posix::stream_descriptor epoll_;
  std::uint64_t next_token_ = 1;
  std::unordered_map<std::uint64_t, std::function<void()>> watched_;  // bounded by the open sockets
};

}  // namespace ebb::io
