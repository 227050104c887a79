#include "sandbox/channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

namespace ebb::sandbox {

namespace asio = io::asio;

namespace {

constexpr std::size_t kBodyAhead = 256 * 1024;  // room that is made before anything of a body has come

base::Error lost(const boost::system::error_code& error) {
  if (error == asio::error::operation_aborted)
    return base::Error{.code = base::Code::kCancelled, .message = "cancelled"};
  return base::unavailable("the instance has gone");
}

// Most frames fit the socket's buffer: one sendmsg and no suspension. Returns how much went out, -1 when the peer has
// gone.
ssize_t send_now(int fd, std::array<iovec, 3>& parts) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return sent;
}

}  // namespace

Channel::Channel(os::Fd socket) : parked_(std::move(socket)) {
  const int flags = ::fcntl(parked_.get(), F_GETFL);
  ::fcntl(parked_.get(), F_SETFL, flags | O_NONBLOCK);
}

Channel::Channel(Socket connection, asio::io_context& context) : socket_(std::move(connection)), context_(&context) {}

base::Result<> Channel::move_to(asio::io_context& context) {
  if (context_ == &context) return {};
  boost::system::error_code error;
  if (socket_) {
    parked_ = os::Fd(socket_->release(error));
    socket_.reset();
    if (error) return base::internal("release of a channel: " + error.message());
  }
  socket_.emplace(context);
  socket_->assign(asio::generic::stream_protocol(AF_UNIX, 0), parked_.get(), error);
  if (error) return base::internal("assign of a channel: " + error.message());
  [[maybe_unused]] const int owned_by_socket = parked_.release();
  context_ = &context;
  return {};
}

io::Task<base::Result<>> Channel::send(wire::FrameHeader header, std::string_view meta, std::string_view body) {
  header.meta_bytes = static_cast<std::uint32_t>(meta.size());
  header.body_bytes = body.size();
  const auto head = wire::encode(header);
  std::array<iovec, 3> parts{iovec{const_cast<char*>(head.data()), head.size()},
                             iovec{const_cast<char*>(meta.data()), meta.size()},
                             iovec{const_cast<char*>(body.data()), body.size()}};
  const ssize_t sent = send_now(socket_->native_handle(), parts);
  if (sent < 0) co_return base::unavailable("the instance has gone");
  auto left = static_cast<std::size_t>(sent);
  if (left == head.size() + meta.size() + body.size()) co_return base::Result<>();

  std::array<asio::const_buffer, 3> rest{asio::buffer(head), asio::buffer(meta), asio::buffer(body)};
  for (asio::const_buffer& part : rest) {
    const std::size_t skip = std::min(left, part.size());
    part += skip;
    left -= skip;
  }
  const auto token = asio::as_tuple(asio::use_awaitable);
  const auto [error, written] = co_await asio::async_write(*socket_, rest, token);
  if (error) co_return lost(error);
  co_return base::Result<>();
}

io::Task<base::Result<Frame>> Channel::receive() {
  Frame frame;
  const base::Result<> got = co_await receive_into(frame);
  if (!got) co_return got.error();
  co_return frame;
}

io::Task<base::Result<>> Channel::receive_into(Frame& frame, HeldAnswer* held) {
  std::array<char, wire::kFrameHeaderBytes> head;
  auto got = co_await read_exactly(head.data(), head.size());
  if (!got) co_return got.error();
  auto header = wire::decode_frame_header(std::string_view(head.data(), head.size()));
  if (!header) co_return header.error();

  frame.header = *header;
  if (held != nullptr) got = held->grow_to(header->meta_bytes);
  if (!got) co_return got.error();
  frame.meta.resize(header->meta_bytes);
  got = co_await read_exactly(frame.meta.data(), frame.meta.size());
  if (!got) co_return got.error();
  // A header costs its sender nothing, so memory follows what has come of the body.
  const std::size_t whole = header->body_bytes;
  std::size_t have = 0;
  do {
    const std::size_t room = std::min(whole, std::max(kBodyAhead, 2 * have));
    if (held != nullptr) got = held->grow_to(header->meta_bytes + room);
    if (!got) co_return got.error();
    frame.body.resize(room);
    got = co_await read_exactly(frame.body.data() + have, frame.body.size() - have);
    if (!got) co_return got.error();
    have = frame.body.size();
  } while (have < whole);
  co_return base::Result<>();
}

bool Channel::is_quiet() {
  char byte = 0;
  return begin_ == end_ && ::recv(socket_->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void Channel::shut_down() {
  boost::system::error_code gone_already;
  if (socket_) socket_->shutdown(Socket::shutdown_both, gone_already);
}

std::size_t Channel::take_buffered(char* to, std::size_t count) {
  const std::size_t taken = std::min(count, end_ - begin_);
  std::memcpy(to, buffer_.data() + begin_, taken);
  begin_ += taken;
  return taken;
}

io::Task<base::Result<>> Channel::read_exactly(char* to, std::size_t count) {
  std::size_t have = take_buffered(to, count);
  const auto token = asio::as_tuple(asio::use_awaitable);
  while (have < count) {
    // Large parts go straight to their place; small ones come through the buffer, with whatever follows them.
    const bool direct = count - have >= buffer_.size();
    const asio::mutable_buffer space = direct ? asio::buffer(to + have, count - have) : asio::buffer(buffer_);
    const auto [error, read] = co_await socket_->async_read_some(space, token);
    if (error) co_return lost(error);
    if (direct) {
      have += read;
      continue;
    }
    begin_ = 0;
    end_ = read;
    have += take_buffered(to + have, count - have);
  }
  co_return base::Result<>();
}

}  // namespace ebb::sandbox
