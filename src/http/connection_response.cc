// The second half of a Connection: what goes out. connection.cc holds what comes in.
#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "http/chunked.h"
#include "http/connection.h"
#include "http/error_response.h"
#include "http/response_head.h"
#include "http/send_now.h"

namespace ebb::http {
namespace {

namespace asio = boost::asio;

void drop_front(Connection::Parts& parts, std::size_t bytes) {
  for (asio::const_buffer& part : parts) {
    const std::size_t taken = std::min(bytes, part.size());
    part += taken;
    bytes -= taken;
  }
}

}  // namespace

// Writes what a handler streams: in chunks, or as it is where the length was announced or the connection's end ends it.
class Connection::StreamWriter final : public BodyWriter {
 public:
  StreamWriter(Connection& connection, bool chunked, std::optional<std::uint64_t> length)
      : connection_(connection), chunked_(chunked), left_(length) {}

  io::Task<base::Result<>> write(std::string_view data) override {
    if (data.empty()) co_return base::Result<>();  // an empty chunk would end the body
    if (left_ && data.size() > *left_) co_return base::internal("a stream is longer than it was announced");
    if (left_) *left_ -= data.size();
    Parts parts;
    parts[1] = asio::buffer(data);
    if (chunked_) {
      chunk_head_ = chunk_head(data.size());
      parts[0] = asio::buffer(chunk_head_);
      parts[2] = asio::buffer(std::string_view("\r\n"));
    }
    const base::Result<> sent = co_await connection_.write_all(parts);
    connection_.phase_ = Phase::kHandling;
    connection_.deadline_ = base::SteadyTime::max();
    if (connection_.peer_gone_)
      co_return base::Error{.code = base::Code::kCancelled, .message = "the client went away"};
    co_return sent;
  }

  void cut() override {
    boost::system::error_code ignored;
    connection_.timed_out_ = true;
    connection_.socket_.cancel(ignored);
  }

  // Of the length announced, if one was, nothing is missing.
  bool is_whole() const { return left_.value_or(0) == 0; }

 private:
  Connection& connection_;
  const bool chunked_;
  std::optional<std::uint64_t> left_;
  std::string chunk_head_;
};

// For an answer without a body: whoever streams learns that nobody reads.
class Connection::NoBodyWriter final : public BodyWriter {
 public:
  io::Task<base::Result<>> write(std::string_view) override {
    co_return base::Error{.code = base::Code::kCancelled, .message = "the answer has no body"};
  }
  void cut() override {}
};

// Of a connection that has left HTTP: bytes as they come, both ways.
class Connection::ClientEnd final : public Tunnel {
 public:
  explicit ClientEnd(Connection& connection) : connection_(connection) {}

  io::Task<base::Result<>> read(std::string& bytes) override {
    if (connection_.pending().empty()) {
      const Read read = co_await connection_.fill();
      if (read == Read::kTimedOut || cut_) co_return over();
      if (read != Read::kBytes) co_return base::Result<>();
    }
    bytes += connection_.pending();
    connection_.begin_ = connection_.end_;
    connection_.enter(Phase::kTunnel, limits::kTunnelIdleTimeout);
    co_return base::Result<>();
  }

  io::Task<base::Result<>> write(std::string_view data) override {
    Parts parts;
    parts[0] = asio::buffer(data);
    const base::Result<> sent = co_await connection_.write_all(parts);
    if (sent) connection_.enter(Phase::kTunnel, limits::kTunnelIdleTimeout);
    co_return sent;
  }

  void cut() override {
    cut_ = true;
    boost::system::error_code ignored;
    connection_.socket_.cancel(ignored);
  }

 private:
  static base::Error over() {
    return base::Error{.code = base::Code::kDeadlineExceeded, .message = "nothing has passed for too long"};
  }

  Connection& connection_;
  bool cut_ = false;
};

io::Task<> Connection::run_tunnel(Response& response) {
  enter(Phase::kTunnel, limits::kTunnelIdleTimeout);
  ClientEnd client(*this);
  try {
    const base::Result<> ended = co_await response.tunnel(client);
    static_cast<void>(ended);  // its end is the connection's, however it came
  } catch (const std::exception& error) {
    if (!peer_gone_) base::log(base::LogLevel::kError, "http_tunnel_failed", {{"error", error.what()}});
  }
}

io::Task<bool> Connection::respond(Response response) {
  if (response.tunnel) {
    out_.clear();
    append_response_head(out_, response, ResponseForm{.sized = false});
    Parts head;
    head[0] = asio::buffer(out_);
    const base::Result<> switched = co_await write_all(head);
    if (switched) co_await run_tunnel(response);
    co_return false;
  }
  const bool streaming = static_cast<bool>(response.stream);
  const bool bodiless = response.status == 204 || response.status == 304;
  const bool sized_stream = streaming && response.stream_bytes.has_value();
  ResponseForm form;
  form.version = head_.request.version;
  form.chunked = streaming && !sized_stream && !bodiless && form.version == 11;
  form.sized = (!streaming || sized_stream) && !bodiless;
  form.keep_alive = head_.keep_alive && !refused_ && !has_unread() && !state_->draining &&
                    (form.sized || form.chunked || bodiless) && !has_token(response.headers.get("connection"), "close");
  if (streaming && (head_only_ || bodiless)) {
    NoBodyWriter nobody;
    const base::Result<> ended = co_await run_stream(response, nobody);
    static_cast<void>(ended);  // the head is whole either way
    if (peer_gone_) co_return false;
  }
  out_.clear();
  append_response_head(out_, response, form);
  held_.take(response.body.size());
  Parts parts;
  parts[0] = asio::buffer(out_);
  if (!head_only_ && form.sized && !streaming) parts[1] = asio::buffer(response.body);
  const base::Result<> sent = co_await write_all(parts, Of::kWhole);
  if (!sent) co_return false;
  if (streaming && !head_only_ && !bodiless) {
    const bool whole = co_await stream_body(response, form.chunked);
    if (!whole) co_return false;
  }
  const bool left = has_unread();
  co_await let_go_of_body();
  if (left && !refused_) {
    co_await linger();
  } else if (!form.keep_alive && !refused_) {
    co_await linger_if_unread();
  }
  co_return form.keep_alive;
}

// True when the body is out, end and all.
io::Task<bool> Connection::stream_body(Response& response, bool chunked) {
  phase_ = Phase::kHandling;
  deadline_ = base::SteadyTime::max();
  StreamWriter writer(*this, chunked, response.stream_bytes);
  const base::Result<> streamed = co_await run_stream(response, writer);
  const bool whole = streamed && writer.is_whole() && !peer_gone_;
  if (!whole) {
    cut_ = !chunked && !response.stream_bytes && !peer_gone_;  // the others can be told from a whole one
    co_return false;
  }
  if (!chunked) co_return true;
  Parts last;
  last[0] = asio::buffer(kLastChunk);
  const base::Result<> ended = co_await write_all(last);
  co_return ended.has_value();
}

io::Task<base::Result<>> Connection::run_stream(Response& response, BodyWriter& writer) {
  try {
    co_return co_await response.stream(writer);
  } catch (const std::exception& error) {
    if (!peer_gone_) base::log(base::LogLevel::kError, "http_stream_failed", {{"error", error.what()}});
    co_return base::internal("the stream failed");
  }
}

io::Task<> Connection::refuse() {
  timed_out_ = false;
  const bool responded = co_await respond(error_response(refused_->status, refused_->error));
  static_cast<void>(responded);
  if (!timed_out_) co_await linger();
}

// Closing with unread bytes in the kernel resets the connection, and the client may lose the answer it has not read
// yet.
io::Task<> Connection::linger() {
  boost::system::error_code failed;
  tls_.reset();  // what still comes is dropped, not deciphered; the answer's length says that it was whole
  socket_.shutdown(Socket::shutdown_send, failed);
  enter(Phase::kLingering, options().linger_timeout);
  std::size_t dropped = 0;
  while (!failed && !timed_out_ && dropped < limits::kHttpLingerBytes) {
    const asio::mutable_buffer room(buffer_.data(), buffer_.size());
    const std::size_t count = co_await socket_.async_read_some(room, asio::redirect_error(asio::use_awaitable, failed));
    dropped += count;
  }
}

io::Task<> Connection::linger_if_unread() {
  boost::system::error_code ignored;
  if (!pending().empty() || socket_.available(ignored) > 0) co_await linger();
}

io::Task<base::Result<>> Connection::write_all(Parts parts, Of of) {
  const std::size_t whole = asio::buffer_size(parts);
  std::size_t left = whole;
  enter(Phase::kWriting, options().body_stall_timeout);
  const base::SteadyTime begun = deadline_ - options().body_stall_timeout;
  if (!tls_) left -= send_now(socket_.native_handle(), parts);
  while (left > 0) {
    boost::system::error_code failed;
    const std::size_t count = co_await write_some(socket_, tls_.get(), parts, failed);
    if (timed_out_) {
      co_return base::Error{.code = base::Code::kDeadlineExceeded,
                            .message = "the client does not read its answer, or too slowly"};
    }
    if (failed) co_return base::Error{.code = base::Code::kCancelled, .message = "the client went away"};
    drop_front(parts, count);
    left -= count;
    if (left > 0 && of == Of::kPiece) enter(Phase::kWriting, options().body_stall_timeout);
    if (left > 0 && of == Of::kWhole) expect_more(Phase::kWriting, begun, whole - left);
  }
  co_return base::Result<>();
}

}  // namespace ebb::http
