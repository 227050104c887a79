#include "http/upstream.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "base/limits.h"
#include "http/send_now.h"

namespace ebb::http {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kBodyBufferBytes = 64 * 1024;
constexpr std::size_t kAtOnceBytes = 64 * 1024;  // a body up to this long fits the socket: nobody waits for anybody

[[gnu::cold]] base::Error gone(const boost::system::error_code& why) {
  if (why == asio::error::operation_aborted) return base::Error{.code = base::Code::kCancelled, .message = "cancelled"};
  return base::unavailable("the connection ended" + (why ? ": " + why.message() : std::string()));
}

}  // namespace

io::Task<base::Result<>> Upstream::send(std::shared_ptr<Upstream> self, std::string head, std::string body,
                                        std::shared_ptr<const void> held) {
  const std::size_t at_once = body.size() <= kAtOnceBytes ? body.size() : 0;
  std::array<asio::const_buffer, 2> parts = {asio::buffer(head), asio::buffer(body.data(), at_once)};
  if (send_now(self->socket_.native_handle(), parts) < head.size() + at_once) {
    boost::system::error_code failed;
    co_await asio::async_write(self->socket_, parts, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return gone(failed);
  }
  self->sent_ = at_once == body.size();
  if (!self->sent_) {
    const boost::asio::any_io_executor executor = self->socket_.get_executor();
    io::spawn(executor, "send to a program", send_rest(std::move(self), std::move(body), std::move(held)));
  }
  co_return base::Result<>();
}

// A peer that does not want the body says so in its answer, which receive_head reads.
io::Task<> Upstream::send_rest(std::shared_ptr<Upstream> self, std::string body,
                               [[maybe_unused]] std::shared_ptr<const void> held) {
  boost::system::error_code failed;
  const asio::const_buffer rest = asio::buffer(body);
  co_await asio::async_write(self->socket_, rest, asio::redirect_error(asio::use_awaitable, failed));
  self->sent_ = !failed;
}

// A server that writes its answer in parts, as many of Python's do, is kept by its own kernel from sending the second
// until the first is acknowledged (Nagle), which ours would put off for 40 ms: time that its owner would pay for.
void Upstream::acknowledge() {
  boost::system::error_code ignored;
  socket_.set_option(asio::detail::socket_option::boolean<IPPROTO_TCP, TCP_QUICKACK>(true), ignored);
}

io::Task<base::Result<std::size_t>> Upstream::fill() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (!buffer_ || (end_ == 0 && past_head_ && room_ < kBodyBufferBytes)) {
    room_ = past_head_ ? kBodyBufferBytes : limits::kHttpHeaderBytes;
    buffer_ = std::make_unique_for_overwrite<char[]>(room_);
  }
  if (end_ == room_ && begin_ > 0) {
    std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
    end_ -= begin_;
    begin_ = 0;
  }
  if (!silent_) acknowledge();
  const asio::mutable_buffer room(buffer_.get() + end_, room_ - end_);
  boost::system::error_code failed;
  const std::size_t count = co_await socket_.async_read_some(room, asio::redirect_error(asio::use_awaitable, failed));
  if (failed == asio::error::eof) co_return std::size_t{0};
  if (failed) co_return gone(failed);
  end_ += count;
  silent_ = false;
  co_return count;
}

io::Task<base::Result<ResponseHead>> Upstream::receive_head(std::string_view method) {
  HeadScanner scanner;
  std::size_t interim = 0;
  for (;;) {
    const Parsed<std::size_t> size = scanner.scan(pending());
    if (!size) co_return base::invalid_argument(size.error().error.message);
    if (*size == 0) {
      if (pending().size() >= limits::kHttpHeaderBytes) {
        co_return base::invalid_argument("its head is longer than " + std::to_string(limits::kHttpHeaderBytes) +
                                         " bytes");
      }
      const base::Result<std::size_t> count = co_await fill();
      if (!count) co_return count.error();
      if (*count == 0) co_return gone({});
      continue;
    }
    Parsed<ResponseHead> head = parse_response_head(pending().substr(0, *size), method);
    if (!head) co_return base::invalid_argument(head.error().error.message);
    begin_ += *size;
    scanner.reset();
    if (head->status < 200 && head->status != 101) {
      if (++interim > kInterimMax) co_return base::invalid_argument("more than 8 interim answers before the one");
      continue;
    }
    past_head_ = true;
    framing_ = head->framing;
    left_ = head->content_length;
    keep_alive_ = head->keep_alive && framing_ != Framing::kUntilClose;
    ended_ = framing_ == Framing::kNone || (framing_ == Framing::kLength && left_ == 0);
    co_return std::move(*head);
  }
}

io::Task<base::Result<>> Upstream::receive_piece(std::string& body) {
  const std::size_t before = body.size();
  while (!ended_ && body.size() == before) {
    if (begin_ == end_) {
      const base::Result<std::size_t> count = co_await fill();
      if (!count) co_return count.error();
      if (*count == 0 && framing_ != Framing::kUntilClose) co_return gone({});
      if (*count == 0) ended_ = true;
    }
    const base::Result<> decoded = take_pending(body);
    if (!decoded) co_return decoded.error();
  }
  co_return base::Result<>();
}

base::Result<> Upstream::take_pending(std::string& body) {
  if (ended_) return {};
  if (framing_ == Framing::kChunked) {
    EBB_TRY(const std::size_t consumed, decoder_.feed(pending(), body));
    begin_ += consumed;
    ended_ = decoder_.done();
    return {};
  }
  std::size_t count = pending().size();
  if (framing_ == Framing::kLength) {
    count = static_cast<std::size_t>(std::min<std::uint64_t>(count, left_));
    left_ -= count;
    ended_ = left_ == 0;
  }
  body.append(pending().substr(0, count));
  begin_ += count;
  return {};
}

io::Task<base::Result<>> Upstream::receive_bytes(std::string& bytes) {
  if (begin_ == end_) {
    const base::Result<std::size_t> count = co_await fill();
    if (!count) co_return count.error();
  }
  bytes += pending();
  begin_ = end_;
  co_return base::Result<>();
}

io::Task<base::Result<>> Upstream::send_bytes(std::string_view bytes) {
  boost::system::error_code failed;
  const asio::const_buffer all = asio::buffer(bytes);
  co_await asio::async_write(socket_, all, asio::redirect_error(asio::use_awaitable, failed));
  if (failed) co_return gone(failed);
  co_return base::Result<>();
}

void Upstream::shut_down() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.cancel(ignored);
}

}  // namespace ebb::http
