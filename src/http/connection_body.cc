// The body of a request: read whole before the handler is asked, or left to the handler, which reads it piece by piece
// or whole when it knows for whom (ClientBody). connection.cc holds the rest of what comes in.
#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "http/chunked.h"
#include "http/connection.h"
#include "http/tls.h"

namespace ebb::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr std::size_t kBodyStepBytes = 256 * 1024;  // the body string grows by what L2 holds, see read_sized_body
constexpr std::size_t kPieceBytes = 64 * 1024;      // of a body that its handler reads
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

Refusal busy() {
  Refusal refused = refusal(429, base::Code::kResourceExhausted,
                            "the server holds as many request bodies as it may, try again shortly");
  refused.error.retry_after = std::chrono::seconds(1);
  return refused;
}

Refusal late() {
  return refusal(408, base::Code::kDeadlineExceeded,
                 "the request's body stopped coming or came too slowly, send it without pauses");
}

Refusal refusal_of(const base::Error& error) { return {base::http_status_of(error.code), error}; }

base::Error gone() { return base::Error{.code = base::Code::kCancelled, .message = "the client went away"}; }

}  // namespace

bool HeldBytes::grow(std::uint64_t bytes) {
  const std::uint64_t before = state_.buffered_body_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes > state_.options.buffered_body_bytes_max) {
    state_.buffered_body_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  bytes_ += bytes;
  return true;
}

void HeldBytes::take(std::uint64_t bytes) {
  state_.buffered_body_bytes.fetch_add(bytes, std::memory_order_relaxed);
  bytes_ += bytes;
}

void HeldBytes::release() {
  if (bytes_ > 0) state_.buffered_body_bytes.fetch_sub(std::exchange(bytes_, 0), std::memory_order_relaxed);
}

/// What a handler reads of a body. It outlives its connection where its reader does, and then knows none.
class Connection::ClientBody final : public BodyReader {
 public:
  ClientBody(Connection& connection, std::uint64_t limit)
      : connection_(&connection),
        sized_(connection.head_.framing == Framing::kLength),
        left_(sized_ ? connection.head_.content_length : 0),
        length_(sized_ ? std::optional(left_) : std::nullopt),
        limit_(limit),
        quiet_(connection.socket_.get_executor()) {}

  std::optional<std::uint64_t> length() const override { return length_; }
  bool ended() const override { return ended_; }

  io::Task<base::Result<>> begin() override {
    if (connection_ == nullptr) co_return gone();
    const bool goes_on = co_await connection_->say_continue();
    connection_->phase_ = Phase::kHandling;
    connection_->deadline_ = base::SteadyTime::max();
    if (!goes_on) co_return gone();
    co_return base::Result<>();
  }

  io::Task<base::Result<>> read(std::string& bytes) override {
    if (connection_ == nullptr || broken_) co_return gone();
    const Reading reading(*this);
    const std::size_t before = bytes.size();
    while (!ended_ && bytes.size() == before) {
      Read got = Read::kBytes;
      if (!connection_->pending().empty()) {
        take_pending(bytes);
      } else if (sized_) {
        got = co_await read_sized(bytes);
      } else {
        connection_->body_deadline_ = base::steady_now() + connection_->options().body_stall_timeout;
        got = co_await connection_->fill();
        got = judged(got);
      }
      broken_ = broken_ || got != Read::kBytes;
      if (broken_) co_return gone();
    }
    co_return base::Result<>();
  }

  io::Task<base::Result<std::string>> read_all(BodyRoom room) override {
    if (connection_ == nullptr || broken_) co_return gone();
    std::string body;
    Connection& connection = *connection_;
    connection.room_ = std::move(room);
    const bool whole = co_await connection.read_body(body, limit_);
    connection.room_ = nullptr;
    connection.phase_ = Phase::kHandling;
    connection.deadline_ = base::SteadyTime::max();
    ended_ = whole;
    broken_ = !whole;
    if (!whole && connection.refused_) co_return connection.refused_->error;
    if (!whole || connection.peer_gone_) co_return gone();
    co_return body;
  }

  /// Why the client's body cannot be read, where that is the client's to know.
  const std::optional<Refusal>& refused() const { return refused_; }

  /// Makes a read under way fail, and returns when nobody reads any more.
  io::Task<> let_go() {
    co_await asio::this_coro::throw_if_cancelled(false);
    broken_ = broken_ || !ended_;
    while (reads_) {
      boost::system::error_code ignored;
      connection_->socket_.cancel(ignored);
      quiet_.expires_after(1s);
      co_await quiet_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    connection_ = nullptr;
  }

 private:
  class Reading {
   public:
    explicit Reading(ClientBody& body) : body_(body) { body_.reads_ = true; }
    ~Reading() {
      body_.reads_ = false;
      body_.connection_->body_deadline_ = base::SteadyTime::max();
      body_.quiet_.cancel();
    }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    ClientBody& body_;
  };

  void take_pending(std::string& bytes) {
    const std::string_view pending = connection_->pending();
    if (sized_) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(pending.size(), left_));
      bytes.append(pending.substr(0, count));
      connection_->begin_ += count;
      left_ -= count;
      ended_ = left_ == 0;
      return;
    }
    const base::Result<std::size_t> consumed = decoder_.feed(pending, bytes);
    if (!consumed) {
      refused_ = refusal_of(consumed.error());
      broken_ = true;
      return;
    }
    connection_->begin_ += *consumed;
    ended_ = decoder_.done();
  }

  // Past what came with the head: straight into the caller's string.
  io::Task<Read> read_sized(std::string& bytes) {
    const std::size_t before = bytes.size();
    bytes.resize(before + static_cast<std::size_t>(std::min<std::uint64_t>(left_, kPieceBytes)));
    const asio::mutable_buffer room(bytes.data() + before, bytes.size() - before);
    boost::system::error_code failed;
    connection_->body_deadline_ = base::steady_now() + connection_->options().body_stall_timeout;
    const std::size_t count = co_await read_some(connection_->socket_, connection_->tls_.get(), room, failed);
    bytes.resize(before + count);
    left_ -= count;
    ended_ = left_ == 0;
    co_return judged(failed ? Read::kEnded : Read::kBytes);
  }

  // A read that the sweep ended because nothing came: the client is told.
  Read judged(Read got) {
    const bool was_late = got != Read::kBytes && connection_->body_deadline_ == base::SteadyTime::max();
    if (was_late && !connection_->timed_out_ && !connection_->peer_gone_ && !broken_) refused_ = late();
    return got;
  }

  Connection* connection_;
  const bool sized_;
  std::uint64_t left_;
  const std::optional<std::uint64_t> length_;
  const std::uint64_t limit_;  // for read_all
  ChunkDecoder decoder_{UINT64_MAX};
  asio::steady_timer quiet_;  // cancelled when a read has ended
  std::optional<Refusal> refused_;
  bool reads_ = false;
  bool ended_ = false;
  bool broken_ = false;
};

// Something of a body that is the handler's to read has not come yet.
bool Connection::has_unread() const { return unread_ && !unread_->ended(); }

bool Connection::is_refused() {
  if (unread_ && !refused_) refused_ = unread_->refused();
  return refused_.has_value();
}

io::Task<> Connection::let_go_of_body() {
  if (unread_) co_await unread_->let_go();
}

// A body that was not read to its end leaves nothing that could be told from a next request: the connection closes.
io::Task<bool> Connection::serve_unread() {
  unread_ = std::make_shared<ClientBody>(*this, body_limit());
  head_.request.unread = unread_;
  bool more = false;
  try {
    more = co_await handle();
  } catch (const std::exception& error) {
    if (!peer_gone_) base::log(base::LogLevel::kError, "http_answer_failed", {{"error", error.what()}});
  }
  const bool whole = unread_->ended();
  co_await unread_->let_go();
  unread_.reset();
  co_return more&& whole;
}

// Takes from the global budget, and from whoever's part the body is, or sets the refusal.
bool Connection::hold(std::uint64_t more, std::uint64_t whole) {
  if (!held_.grow(more)) {
    refused_ = busy();
    return false;
  }
  const base::Result<> room = room_ ? room_(whole) : base::Result<>();
  if (!room) refused_ = refusal_of(room.error());
  return room.has_value();
}

// True when a read for the body did not bring bytes; sets the refusal where there is somebody to tell.
bool Connection::body_refused(Read read) {
  if (read == Read::kTimedOut) refused_ = late();
  return read != Read::kBytes;
}

bool Connection::admitted() {
  if (!options().admit) return true;
  const base::Result<> admitted = options().admit(head_.request);
  if (!admitted) refused_ = refusal_of(admitted.error());
  return admitted.has_value();
}

std::uint64_t Connection::body_limit() const {
  return options().body_limit ? options().body_limit(head_.request) : options().body_bytes_max;
}

bool Connection::is_left_unread() const {
  const bool is_small = head_.framing == Framing::kLength && head_.content_length <= limits::kUnreadBodyBytes;
  return !is_small && options().leaves_unread && options().leaves_unread(head_.request);
}

// The server's one 100, where the client waits for it. False when it has gone.
io::Task<bool> Connection::say_continue() {
  if (!head_.expects_continue || !pending().empty()) co_return true;
  if (head_.framing == Framing::kLength && head_.content_length == 0) co_return true;
  Parts parts;
  parts[0] = asio::buffer(kContinue);
  const base::Result<> sent = co_await write_all(parts);
  co_return sent.has_value();
}

io::Task<bool> Connection::read_body(std::string& body, std::uint64_t limit) {
  const bool sized = head_.framing == Framing::kLength;
  if (sized && head_.content_length > limit) {
    refused_ = refusal_of(body_too_large(limit));
    co_return false;
  }
  // Refused early when it cannot fit; taken as it comes, so that announcing a body and sending none holds nothing.
  if (sized && state_->buffered_body_bytes + head_.content_length > options().buffered_body_bytes_max) {
    refused_ = busy();
    co_return false;
  }
  const bool goes_on = co_await say_continue();
  if (!goes_on) co_return false;
  expect_more(Phase::kBody, base::steady_now(), 0);
  if (sized) co_return co_await read_sized_body(body);
  co_return co_await read_chunked_body(body, limit);
}

io::Task<bool> Connection::read_sized_body(std::string& body) {
  const base::SteadyTime begun = base::steady_now();
  const auto length = static_cast<std::size_t>(head_.content_length);
  body.reserve(length);  // address space only: the kernel gives pages as bytes arrive
  const std::size_t early = std::min(length, pending().size());
  if (!hold(early, early)) co_return false;
  body.append(pending().substr(0, early));
  begin_ += early;
  // resize() writes zeros, so it goes ahead of the reads by a step that is still in the cache when the bytes land on
  // it.
  std::size_t filled = early;
  while (filled < length) {
    if (filled == body.size()) {
      const std::size_t step = std::min(kBodyStepBytes, length - filled);
      if (!hold(step, filled + step)) co_return false;
      body.resize(filled + step);
    }
    const asio::mutable_buffer room(body.data() + filled, body.size() - filled);
    boost::system::error_code failed;
    const std::size_t count = co_await read_some(socket_, tls_.get(), room, failed);
    const Read read = timed_out_ ? Read::kTimedOut : (failed ? Read::kEnded : Read::kBytes);
    if (body_refused(read)) co_return false;
    filled += count;
    expect_more(Phase::kBody, begun, filled);
  }
  co_return true;
}

io::Task<bool> Connection::read_chunked_body(std::string& body, std::uint64_t limit) {
  const base::SteadyTime begun = base::steady_now();
  ChunkDecoder decoder(limit);
  std::uint64_t counted = 0;
  for (;;) {
    // Decoded bytes are at most the bytes read: the budget is asked before they are appended. What frames them is gone
    // when they have been, and is not counted twice.
    const std::uint64_t whole = body.size() + pending().size();
    if (whole > counted) {
      if (!hold(whole - counted, whole)) co_return false;
      counted = whole;
    }
    const base::Result<std::size_t> consumed = decoder.feed(pending(), body);
    if (!consumed) {
      refused_ = refusal_of(consumed.error());
      co_return false;
    }
    begin_ += *consumed;
    if (decoder.done()) co_return true;
    const Read read = co_await fill();
    if (body_refused(read)) co_return false;
    expect_more(Phase::kBody, begun, body.size());
  }
}

}  // namespace ebb::http
