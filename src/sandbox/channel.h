// The channel: the stream socket between the daemon and one instance, and the frames on it (wire/frame.h). Or the same
// over a connection to a port of the instance, made for one call.
//
// 1. One coroutine uses it at a time (the holder of the lease); between leases it may move to another core.
// 2. What the instance sends is bounded before it is read: a header beyond the bounds is an error, and the channel is
// then dead.
// 3. A body is sent from the caller's memory and received into the string that is handed on, which grows as it comes.
// Called by node: by the start of an instance (kReady) and by each invocation.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "io/task.h"
#include "os/fd.h"
#include "sandbox/answers.h"
#include "wire/frame.h"

namespace ebb::sandbox {

struct Frame {
  wire::FrameHeader header;
  std::string meta;
  std::string body;
};

class Channel {
 public:
  using Socket = io::asio::generic::stream_protocol::socket;

  /// `socket` is a connected Unix stream socket, made non-blocking here.
  explicit Channel(os::Fd socket);
  /// `connection` is watched by `context`.
  Channel(Socket connection, io::asio::io_context& context);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Makes the calling core's reactor watch the socket. Cost: nothing when it does already, two epoll_ctl otherwise.
  base::Result<> move_to(io::asio::io_context& context);

  /// Lengths in `header` are set from the parts. The parts outlive the call.
  /// Errors: kUnavailable when the instance has gone; kCancelled.
  io::Task<base::Result<>> send(wire::FrameHeader header, std::string_view meta, std::string_view body);
  /// Errors: kUnavailable when the instance has gone (the only sign of a crash); kInvalidArgument for a broken frame;
  /// kCancelled.
  io::Task<base::Result<Frame>> receive();
  /// The same into `frame`, whose memory is used again; it is undefined after an error. `held` counts what the frame
  /// takes, where it is given. Both outlive the call. Errors: also those of HeldAnswer; the channel is then dead.
  io::Task<base::Result<>> receive_into(Frame& frame, HeldAnswer* held = nullptr);
  /// True when nothing has come behind the last frame. Cost: a system call.
  bool is_quiet();
  /// Of a connection that is quiet, for the next call. The channel is then of no more use.
  Socket take_socket() { return *std::exchange(socket_, std::nullopt); }
  /// Ends both directions: a waiting receive() fails at once. Called on the core that watches the socket.
  void shut_down();

 private:
  std::size_t take_buffered(char* to, std::size_t count);
  io::Task<base::Result<>> read_exactly(char* to, std::size_t count);

  os::Fd parked_;  // the socket while no core watches it
  std::optional<Socket> socket_;
  io::asio::io_context* context_ = nullptr;
  std::array<char, 4096> buffer_;  // most frames arrive whole in one read
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace ebb::sandbox
