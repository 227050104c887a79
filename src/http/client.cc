#include "http/client.h"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "http/chunked.h"
#include "http/head.h"
#include "http/tls.h"
#include "io/deadline.h"

namespace ebb::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kWriteBytes = 256 * 1024;    // between two calls of on_sent
constexpr std::size_t kExpectBytes = 1024 * 1024;  // larger bodies ask first
constexpr auto kContinueWait =
    std::chrono::seconds(1);  // a server that does not answer the question gets the body anyway

struct Url {
  bool tls = false;
  std::string host;  // without the brackets of IPv6
  std::string port;
  std::string authority;  // as given, for Host
  std::string target;
};

base::Result<Url> parse_url(std::string_view text) {
  const auto malformed = [text] {
    return base::invalid_argument("\"" + std::string(text) + "\" is no URL like http://127.0.0.1:8080/path");
  };
  Url url;
  url.tls = text.starts_with("https://");
  if ((!url.tls && !text.starts_with("http://")) || !is_header_value(text) ||
      text.find(' ') != std::string_view::npos) {
    return malformed();
  }
  const std::string_view rest = text.substr(text.find("//") + 2);
  const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
  url.authority = rest.substr(0, path);
  url.target = rest.substr(path);
  if (url.target.empty() || url.target.front() != '/') url.target.insert(0, "/");
  url.port = url.tls ? "443" : "80";
  std::string_view host = url.authority;
  const std::size_t colon = host.rfind(':');
  const std::size_t bracket = host.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    url.port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(url.port.data(), url.port.data() + url.port.size(), port);
  if (failed != std::errc() || end != url.port.data() + url.port.size() || port == 0) return malformed();
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find('@') != std::string_view::npos) return malformed();
  url.host = host;
  return url;
}

// One exchange; lives in the coroutine of request().
class Exchange {
 public:
  Exchange(const asio::any_io_executor& executor, ClientRequest request, Url url)
      : socket_(executor), request_(std::move(request)), url_(std::move(url)), buffer_(kReadBytes) {}

  static io::Task<base::Result<ClientResponse>> run(std::shared_ptr<Exchange> self) {
    base::Result<ClientResponse> response = co_await self->perform();
    co_return response;
  }

 private:
  base::Error broken(std::string_view what, const boost::system::error_code& error) const {
    return base::unavailable("cannot " + std::string(what) + " " + url_.authority + ": " + error.message());
  }

  io::Task<base::Result<ClientResponse>> perform() {
    const base::Result<> connected = co_await connect();
    if (!connected) co_return connected.error();
    const bool asks = request_.body.size() > kExpectBytes;
    compose_head(asks);
    base::Result<> sent = co_await write(out_, false);
    bool answered = false;
    if (sent && asks) {
      const base::Result<bool> early =
          co_await io::with_deadline(read_head(), base::steady_now() + kContinueWait, "100 Continue");
      if (!early && early.error().code != base::Code::kDeadlineExceeded) co_return early.error();
      answered = early && head_.status >= 200;
    }
    if (sent && !answered) sent = co_await write(request_.body, true);
    // A server that refuses may close before it has read everything: its answer counts, not the broken write.
    while (!answered) {
      const base::Result<bool> read = co_await read_head();
      if (!read) co_return sent ? read.error() : sent.error();
      answered = head_.status >= 200;
    }
    co_return co_await read_body();
  }

  io::Task<base::Result<>> connect() {
    boost::system::error_code failed;
    tcp::resolver resolver(socket_.get_executor());
    const tcp::resolver::results_type found =
        co_await resolver.async_resolve(url_.host, url_.port, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return broken("find", failed);
    co_await asio::async_connect(socket_, found, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return broken("connect to", failed);
    socket_.set_option(tcp::no_delay(true), failed);
    if (!url_.tls) co_return base::Result<>();
    co_return co_await shake_hands();
  }

  io::Task<base::Result<>> shake_hands() {
    EBB_CO_TRY(tls_context_, client_tls_context(request_.ca_file));
    tls_ = std::make_unique<TlsStream>(socket_, *tls_context_);
    boost::system::error_code failed;
    asio::ip::make_address(url_.host, failed);
    // The name goes in the open so that the server can choose a certificate; numeric addresses are not allowed there.
    if (failed) SSL_set_tlsext_host_name(tls_->native_handle(), url_.host.c_str());
    tls_->set_verify_callback(asio::ssl::host_name_verification(url_.host), failed);
    co_await tls_->async_handshake(asio::ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, failed));
    if (!failed) co_return base::Result<>();
    base::Error error = broken("make a TLS connection with", failed);
    if (SSL_get_verify_result(tls_->native_handle()) != X509_V_OK) {
      error = base::Error{.code = base::Code::kPermissionDenied,
                          .message = "the certificate of " + url_.authority + " is not trusted (" +
                                     X509_verify_cert_error_string(SSL_get_verify_result(tls_->native_handle())) +
                                     "): name its authority with --ca-file or EBB_CA_FILE"};
    }
    co_return error;
  }

  void compose_head(bool asks) {
    out_ = request_.method + " " + url_.target + " HTTP/1.1\r\nHost: " + url_.authority + "\r\nConnection: close\r\n";
    for (const Header& header : request_.headers) out_ += header.name + ": " + header.value + "\r\n";
    const bool usual = request_.method == "POST" || request_.method == "PUT" || request_.method == "PATCH";
    if (usual || !request_.body.empty()) out_ += "Content-Length: " + std::to_string(request_.body.size()) + "\r\n";
    if (asks) out_ += "Expect: 100-continue\r\n";
    out_ += "\r\n";
  }

  io::Task<base::Result<>> write(const std::string& bytes, bool reports) {
    std::size_t written = 0;
    while (written < bytes.size()) {
      const asio::const_buffer part(bytes.data() + written, std::min(kWriteBytes, bytes.size() - written));
      boost::system::error_code failed;
      const std::size_t count = co_await write_some(socket_, tls_.get(), part, failed);
      if (failed) co_return broken("write to", failed);
      written += count;
      if (reports && request_.on_sent) request_.on_sent(written);
    }
    co_return base::Result<>();
  }

  // Reads the next head, an interim one too. True when it is there.
  io::Task<base::Result<bool>> read_head() {
    HeadScanner scanner;
    for (;;) {
      const Parsed<std::size_t> size = scanner.scan(pending());
      if (!size) co_return unreadable(size.error());
      if (*size > 0) {
        Parsed<ResponseHead> head = parse_response_head(pending().substr(0, *size), request_.method);
        if (!head) co_return unreadable(head.error());
        begin_ += *size;
        head_ = std::move(*head);
        co_return true;
      }
      if (pending().size() == buffer_.size()) co_return unreadable(head_too_long(buffer_.size()));
      boost::system::error_code failed;
      const std::size_t count = co_await fill(failed);
      if (failed || count == 0) co_return broken("read from", failed);
    }
  }

  base::Error unreadable(const Refusal& refused) const {
    return base::unavailable(url_.authority + " does not answer in HTTP: " + refused.error.message);
  }

  io::Task<base::Result<ClientResponse>> read_body() {
    const bool hands_on = request_.on_chunk && head_.status >= 200 && head_.status < 300;
    if (request_.on_head) request_.on_head(head_.status, head_.headers);
    const std::uint64_t limit = hands_on ? UINT64_MAX : request_.body_bytes_max;
    ClientResponse response;
    response.status = head_.status;
    ChunkDecoder decoder(limit);
    std::uint64_t received = 0;
    bool complete = head_.framing == Framing::kNone || (head_.framing == Framing::kLength && head_.content_length == 0);
    if (head_.framing == Framing::kLength) {
      if (head_.content_length > limit) co_return body_too_large(limit);
      if (!hands_on) response.body.reserve(static_cast<std::size_t>(head_.content_length));
    }
    while (!complete) {
      if (pending().empty()) {
        boost::system::error_code failed;
        const std::size_t count = co_await fill(failed);
        const bool ended = failed == asio::error::eof;
        if (ended && head_.framing == Framing::kUntilClose) break;
        if (failed || count == 0) co_return broken("read the whole answer of", failed);
      }
      const std::size_t before = response.body.size();
      const base::Result<> taken = take(decoder, received, response.body);
      if (!taken) co_return taken.error();
      complete = head_.framing == Framing::kChunked
                     ? decoder.done()
                     : head_.framing == Framing::kLength && received == head_.content_length;
      if (!hands_on && received > limit) co_return body_too_large(limit);
      if (hands_on && response.body.size() > before) {
        const bool goes_on = request_.on_chunk(response.body);
        response.body.clear();
        if (!goes_on) complete = true;
      }
    }
    response.headers = std::move(head_.headers);
    co_return response;
  }

  // Moves what is pending of the body to `body`.
  base::Result<> take(ChunkDecoder& decoder, std::uint64_t& received, std::string& body) {
    if (head_.framing == Framing::kChunked) {
      EBB_TRY(const std::size_t consumed, decoder.feed(pending(), body));
      begin_ += consumed;
      return {};
    }
    std::size_t count = pending().size();
    if (head_.framing == Framing::kLength) {
      count = static_cast<std::size_t>(std::min<std::uint64_t>(count, head_.content_length - received));
    }
    body.append(pending().substr(0, count));
    begin_ += count;
    received += count;
    return {};
  }

  io::Task<std::size_t> fill(boost::system::error_code& failed) {
    if (begin_ > 0) {
      std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
                buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
      end_ -= begin_;
      begin_ = 0;
    }
    const asio::mutable_buffer room(buffer_.data() + end_, buffer_.size() - end_);
    const std::size_t count = co_await read_some(socket_, tls_.get(), room, failed);
    end_ += count;
    co_return count;
  }

  std::string_view pending() const { return {buffer_.data() + begin_, end_ - begin_}; }

  tcp::socket socket_;
  std::shared_ptr<asio::ssl::context> tls_context_;
  std::unique_ptr<TlsStream> tls_;
  ClientRequest request_;
  Url url_;
  std::string out_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  ResponseHead head_;
};

base::Result<> check(const ClientRequest& request) {
  if (!is_header_name(request.method)) return base::invalid_argument("\"" + request.method + "\" is no HTTP method");
  for (const Header& header : request.headers) {
    if (!is_header_name(header.name) || !is_header_value(header.value)) {
      return base::invalid_argument("header \"" + header.name + "\" holds a character that is not allowed in a header");
    }
  }
  return {};
}

io::Task<> fetch_into(std::optional<base::Result<ClientResponse>>& outcome, ClientRequest wanted,
                      base::SteadyTime deadline) {
  outcome = co_await request(std::move(wanted), deadline);
}

}  // namespace

io::Task<base::Result<ClientResponse>> request(ClientRequest request, base::SteadyTime deadline) {
  base::Result<Url> url = parse_url(request.url);
  if (!url) co_return url.error();
  const base::Result<> checked = check(request);
  if (!checked) co_return checked.error();
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto exchange = std::make_shared<Exchange>(executor, std::move(request), *std::move(url));
  co_return co_await io::with_deadline(Exchange::run(exchange), deadline, "the server's answer");
}

base::Result<ClientResponse> fetch(ClientRequest wanted, base::Duration limit) {
  asio::io_context context(1);
  std::optional<base::Result<ClientResponse>> outcome;
  io::spawn(context, "http fetch", fetch_into(outcome, std::move(wanted), base::steady_now() + limit));
  context.run();
  if (!outcome) return base::internal("the request ended without an outcome, the log says why");
  return *std::move(outcome);
}

base::Result<> check_url(std::string_view url) {
  EBB_TRY(const Url parsed, parse_url(url));
  return {};
}

}  // namespace ebb::http
