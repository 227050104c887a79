#include "http/connection.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "http/error_response.h"
#include "http/response_head.h"
#include "http/tls.h"

namespace ebb::http {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kFirstBufferBytes = 4096;  // most heads fit; grows up to header_bytes_max
constexpr std::size_t kRequestLineRest = 64;     // what a request line holds beside its target: method and version

Response server_fault(std::string message) { return error_response(base::internal(std::move(message))); }

}  // namespace

Connection::Connection(Socket socket, std::shared_ptr<ServerState> state, std::shared_ptr<io::HangupWatch> watch)
    : socket_(std::move(socket)), state_(std::move(state)), watch_(std::move(watch)), held_(*state_) {
  boost::system::error_code failed;
  socket_.set_option(asio::ip::tcp::no_delay(true), failed);
  const auto peer = socket_.remote_endpoint(failed);
  if (!failed) peer_address_ = peer.address().to_string();
  // Without a watch (no memory in the kernel) the connection still works; a departure then shows when it writes.
  auto added = watch_->add(socket_.native_handle(), [this] { peer_left(); });
  if (added) watched_ = *added;
  buffer_.resize(std::min(kFirstBufferBytes, options().header_bytes_max));
}

Connection::~Connection() {
  if (watched_) watch_->remove(*watched_, socket_.native_handle());
}

void Connection::enter(Phase phase, base::Duration limit) {
  phase_ = phase;
  deadline_ = base::steady_now() + limit;
}

// Of what is in memory until all of it has passed: more is due soon, and all of it in time for what has passed. Who
// sends or takes a byte now and then would keep the rest for as long as he likes.
void Connection::expect_more(Phase phase, base::SteadyTime begun, std::uint64_t passed) {
  const std::chrono::milliseconds earned(1000 * passed / options().whole_body_pace);
  phase_ = phase;
  deadline_ = std::min<base::SteadyTime>(base::steady_now() + options().body_stall_timeout,
                                         begun + options().whole_body_grace + earned);
}

void Connection::expire(base::SteadyTime now) {
  if (deadline_ > now && body_deadline_ > now) return;
  if (deadline_ <= now) timed_out_ = true;  // else only the body is late, and its reader knows
  deadline_ = body_deadline_ = base::SteadyTime::max();
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void Connection::drain() {
  boost::system::error_code ignored;
  if (phase_ == Phase::kIdle) socket_.cancel(ignored);
}

void Connection::abort() {
  peer_gone_ = true;
  cancel_.emit(asio::cancellation_type::terminal);
}

void Connection::peer_left() {
  peer_gone_ = true;
  // Reads and writes notice by themselves, and a response under way still reaches a half-closed client.
  if (phase_ == Phase::kHandling) cancel_.emit(asio::cancellation_type::terminal);
}

io::Task<> Connection::serve() {
  bool more = true;
  if (options().tls) more = co_await shake_hands();
  while (more) {
    more = co_await serve_one();
    held_.release();
  }
  if (refused_) co_await refuse();
  if (cut_) {
    reset();
  } else if (tls_ && !peer_gone_) {
    co_await say_goodbye();
  }
}

// Closing in the usual way would say that the answer is whole.
void Connection::reset() {
  boost::system::error_code ignored;
  if (watched_) watch_->remove(*watched_, socket_.native_handle());
  watched_.reset();
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

io::Task<bool> Connection::shake_hands() {
  tls_context_ = options().tls->context();
  tls_ = std::make_unique<TlsStream>(socket_, *tls_context_);
  enter(Phase::kIdle, options().tls_handshake_timeout);
  boost::system::error_code failed;
  co_await tls_->async_handshake(asio::ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, failed));
  if (!failed) co_return true;
  tls_.reset();
  co_return false;
}

// Without it a client cannot tell the end from a cut.
io::Task<> Connection::say_goodbye() {
  boost::system::error_code ignored;
  timed_out_ = false;
  enter(Phase::kLingering, options().linger_timeout);
  co_await tls_->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
}

// False: the connection ends, with a refusal if refused_ is set.
io::Task<bool> Connection::serve_one() {
  const bool headed = co_await read_head();
  if (!headed) co_return false;
  if (head_.framing != Framing::kNone) {
    if (!admitted()) co_return false;
    if (is_left_unread()) co_return co_await serve_unread();
    const bool complete = co_await read_body(head_.request.body, body_limit());
    if (!complete) co_return false;
  }
  co_return co_await handle();
}

io::Task<bool> Connection::read_head() {
  bool skipped_empty_line = false;
  scanner_.reset();
  head_only_ = false;
  head_.request.version = 11;
  enter(pending().empty() ? Phase::kIdle : Phase::kHead,
        pending().empty() ? options().idle_timeout : options().header_timeout);
  if (phase_ == Phase::kIdle && state_->draining) co_return false;
  for (;;) {
    const Parsed<std::size_t> size = scanner_.scan(pending());
    if (!size) {
      refused_ = size.error();
      co_return false;
    }
    if (*size == 2 && !skipped_empty_line) {
      // RFC 9112 2.2: an empty line before the request line is ignored; one.
      skipped_empty_line = true;
      begin_ += 2;
      scanner_.reset();
      continue;
    }
    if (*size > 0) co_return parse_head(*size);
    const std::size_t limit = options().header_bytes_max;
    if (!scanner_.past_first_line() && pending().size() > options().target_bytes_max + kRequestLineRest) {
      refused_ = target_too_long(options().target_bytes_max);
      co_return false;
    }
    if (pending().size() >= limit) {
      refused_ = head_too_long(limit);
      co_return false;
    }
    const Read read = co_await fill();
    if (read == Read::kTimedOut && phase_ == Phase::kHead) {
      refused_ =
          refusal(408, base::Code::kDeadlineExceeded, "the request's headers took too long, send them in one go");
    }
    if (read != Read::kBytes) co_return false;
    if (phase_ == Phase::kIdle) enter(Phase::kHead, options().header_timeout);
  }
}

bool Connection::parse_head(std::size_t size) {
  if (size > options().header_bytes_max) {
    refused_ = head_too_long(options().header_bytes_max);
    return false;
  }
  Parsed<RequestHead> head = parse_request_head(pending().substr(0, size), options().target_bytes_max);
  if (!head) {
    refused_ = std::move(head).error();
    return false;
  }
  begin_ += size;
  head_ = std::move(*head);
  head_only_ = head_.request.method == "HEAD";
  head_.request.peer_address = peer_address_;
  head_.request.over_tls = tls_ != nullptr;
  head_.request.received_at = base::steady_now();
  return true;
}

io::Task<bool> Connection::handle() {
  phase_ = Phase::kHandling;
  deadline_ = base::SteadyTime::max();  // how long a request may take is the handler's business
  if (peer_gone_) co_return false;
  Response response;
  try {
    response = co_await state_->handler(std::move(head_.request));
  } catch (const std::exception& error) {
    if (peer_gone_) co_return false;
    base::log(base::LogLevel::kError, "http_handler_failed", {{"error", error.what()}});
    response = server_fault("the server failed to answer, its log says why");
  }
  held_.release();  // the body went with the request; what of it outlives the handler has bounds of its own
  // A handler that noticed the departure and returned anyway: nobody reads its answer.
  if (peer_gone_ || is_refused()) co_return false;
  if (!is_sendable(response)) {
    base::log(base::LogLevel::kError, "http_response_refused", {{"status", response.status}});
    response = server_fault("the answer has a status or a header that HTTP does not allow");
  }
  co_return co_await respond(std::move(response));
}

// Reads behind the pending bytes; the caller has made sure that they are fewer than header_bytes_max.
io::Task<Connection::Read> Connection::fill() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(std::min(buffer_.size() * 2, options().header_bytes_max));
  const asio::mutable_buffer room(buffer_.data() + end_, buffer_.size() - end_);
  boost::system::error_code failed;
  const std::size_t count = co_await read_some(socket_, tls_.get(), room, failed);
  if (timed_out_) co_return Read::kTimedOut;
  if (failed) co_return Read::kEnded;
  end_ += count;
  co_return Read::kBytes;
}

}  // namespace ebb::http
