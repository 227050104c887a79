// A call of a function that is a web server: the request as it came, but for the headers that concern one connection,
// goes to its program over a connection of the call's own; the answer comes back the same way. The program is an
// attacker's like all else in a sandbox: http::Upstream bounds what it sends, ReplyHeaders what of it a client sees.
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/limits.h"
#include "base/limits_contract.h"
#include "io/deadline.h"
#include "node/fc_contract.h"
#include "node/invocation.h"
#include "node/reply_headers.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kWholeBytes = 1024 * 1024;  // an answer up to this long, of known length, is sent whole
constexpr auto kAfterTimeout = 10ms;
constexpr auto kEndReport = 100ms;  // from a broken connection to the word that the program has ended

// Those of the connection to the client, and those that are said anew.
bool is_passed_on(std::string_view connection, std::string_view name) {
  for (const std::string_view ours :
       {"connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto"}) {
    if (http::same_name(name, ours)) return false;
  }
  return !http::has_token(connection, name);
}

void add_line(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

// Who has been there before stands in front, as with every proxy.
std::string forwarded_for(const http::Request& request) {
  std::string all;
  for (const http::Header& header : request.headers) {
    if (http::same_name(header.name, "x-forwarded-for")) all += header.value + ", ";
  }
  return all += request.peer_address;
}

// The protocol that the caller asks to change to; empty when it asks for none, or may not. Before its body is sent.
std::string upgrade_of(const Call& call) {
  return call.body.empty() && !call.request.unread ? std::string(http::upgrade_wanted(call.request)) : std::string();
}

bool speaks_fc(const model::Version& version) { return version.spec.contract == model::Contract::kFc; }

std::string head_of(const model::Version& version, const Call& call, std::string_view upgrade) {
  const http::Request& request = call.request;
  const std::string_view connection = request.headers.get("connection");
  std::string head;
  head.reserve(512 + request.target.size());
  head.append(request.method).append(" ").append(call.function_path());
  if (!request.query.empty()) head.append("?").append(request.query);
  head += " HTTP/1.1\r\n";
  for (const http::Header& header : request.headers) {
    if (speaks_fc(version) && is_fc_header(header.name)) continue;
    if (is_passed_on(connection, header.name)) add_line(head, header.name, header.value);
  }
  if (request.headers.find("host") == nullptr) add_line(head, "Host", "localhost");
  if (!upgrade.empty()) {
    add_line(head, "Connection", "Upgrade");
    add_line(head, "Upgrade", upgrade);
  }
  if (call.kind == Call::Kind::kHttp) {
    add_line(head, "X-Forwarded-For", forwarded_for(request));
    add_line(head, "X-Forwarded-Host", call.host());
    if (!call.url_prefix.empty()) add_line(head, "X-Forwarded-Prefix", call.url_prefix);
    add_line(head, "X-Forwarded-Proto", call.over_https() ? "https" : "http");
  }
  if (speaks_fc(version)) head += fc_lines(version, call);
  const bool usual = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  const std::uint64_t length = request.unread ? request.unread->length().value_or(0) : call.body.size();
  if (request.unread && !request.unread->length()) {
    add_line(head, "Transfer-Encoding", "chunked");
  } else if (usual || length > 0) {
    add_line(head, "Content-Length", std::to_string(length));
  }
  return head += "\r\n";
}

// Asked twice, such a request does what it does once (RFC 9110, 9.2.2).
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" || method == "PUT" ||
         method == "DELETE";
}

io::Task<base::Result<>> nothing_more() { co_return base::Result<>(); }

}  // namespace

io::Task<Reply> Invocation::run_program(std::shared_ptr<Invocation> self, Call& call, Reply reply) {
  Invocation& it = *self;
  base::Result<> went;
  const bool fc = speaks_fc(it.runner_->version_);
  if (fc && call.kind == Call::Kind::kDirect) make_event_request(call);
  if (!fc && call.kind == Call::Kind::kDirect) {
    it.healthy_ = true;
    const bool is_model = it.runner_->version_.spec.runtime == "model";
    it.error_ = base::invalid_argument(it.name() + (is_model ? " is a model" : " is a web server") +
                                       ", it takes HTTP requests at /fn/" + call.app + "/" + call.function +
                                       (is_model ? "/v2" : "/") + " and no direct calls: use curl");
  } else {
    const std::string upgrade = upgrade_of(call);
    auto head = co_await ask_program(self, call, upgrade);
    if (head && fc && tells_failure(*head, call.kind)) {
      co_await it.read_failure(*head);
    } else if (head && it.absorb_head(*head, upgrade, reply)) {
      went = co_await read_whole(self, reply.body);
    } else if (!head) {
      went = head.error();
    }
  }
  if (went && !it.error_ && !it.timed_out_ && reply.status == 101) {
    reply.phases.handler = base::steady_now() - it.leased_;
    reply.tunnel = [self](http::Tunnel& client) { return relay_tunnel(self, client); };
    co_return reply;
  }
  if (went && !it.error_ && !it.timed_out_ && !it.upstream_->ended()) {
    it.piece_ = std::exchange(reply.body, {});
    reply.phases.handler = base::steady_now() - it.leased_;
    reply.stream = [self](http::BodyWriter& writer) { return relay_program(self, writer); };
    co_return reply;
  }
  it.settle();
  reply.phases.handler = it.phases_.handler;
  if (!went || it.timed_out_) {
    base::Error error = went ? base::unavailable("took too long") : went.error();
    co_await it.learn_why_program(std::move(error));
  }
  if (it.error_) {
    reply = Reply{.phases = reply.phases, .version_number = reply.version_number, .error = it.error_};
    it.status_ = base::http_status_of(it.error_->code);
  } else {
    it.keep_connection();
    if (!it.head_only_) reply.stream_bytes.reset();
    if (reply.stream_bytes) reply.stream = [](http::BodyWriter&) { return nothing_more(); };  // the length goes out
  }
  it.bytes_out_ = reply.body.size();
  reply.held = it.hand_over_held();
  it.finish();
  co_return reply;
}

// False when there is no connection that could be used again.
bool Invocation::take_kept() {
  std::optional<sandbox::ProgramPort::Socket> kept = instance_->program->take(runner_->services_.here());
  if (!kept) return false;
  upstream_anew_ = false;
  upstream_ = std::make_shared<http::Upstream>(*std::move(kept));
  return true;
}

io::Task<base::Result<>> Invocation::connect_anew() {
  upstream_anew_ = true;
  // A program that listens and does not accept: the timeout comes first, and says more.
  const base::SteadyTime deadline = leased_ + runner_->version_.spec.timeout + kAfterTimeout;
  auto made = co_await io::with_deadline(sandbox::ProgramPort::connect(instance_->program, runner_->services_.here()),
                                         deadline, "a connection to the program");
  if (!made) co_return made.error();
  upstream_ = std::make_shared<http::Upstream>(*std::move(made));
  co_return base::Result<>();
}

// A program may close a kept connection in the moment in which it is used. Then nothing of an answer comes, and a
// request that may be repeated is sent again over a connection of its own.
io::Task<base::Result<http::ResponseHead>> Invocation::ask_program(std::shared_ptr<Invocation> self, Call& call,
                                                                   std::string_view upgrade) {
  Invocation& it = *self;
  const std::string head = head_of(it.runner_->version_, call, upgrade);
  const std::shared_ptr<http::BodyReader> unread = std::exchange(call.request.unread, nullptr);
  const bool repeatable = is_idempotent(call.request.method) && call.body.empty() && !unread;
  for (bool anew = false;; anew = true) {
    const bool kept = !anew && it.take_kept();
    base::Result<> connected;
    if (!kept) connected = co_await it.connect_anew();
    if (!connected) co_return connected.error();
    if (it.timed_out_) co_return base::unavailable("took too long");
    std::string first = head;
    std::string body = std::move(call.body);
    if (unread) {
      const base::Result<> begun = co_await unread->begin();
      if (!begun) co_return begun.error();
    }
    const base::Result<> sent =
        co_await http::Upstream::send(it.upstream_, std::move(first), std::move(body), call.body_held);
    if (sent && unread) {
      it.upstream_->begin_body();
      it.body_under_way_ = true;
      io::spawn(it.runner_->services_.here(), "a body to a program", send_body(self, unread));
    }
    // A program that refuses may close before it has read everything: its answer counts, not the broken write.
    auto answer = co_await it.upstream_->receive_head(call.request.method);
    const bool lost = !answer && answer.error().code == base::Code::kUnavailable;
    if (lost && it.upstream_->silent() && !it.upstream_anew_ && repeatable && !it.timed_out_) continue;
    if (lost) co_return base::unavailable("closed the connection without an answer");
    co_return answer;
  }
}

// One piece at a time: a program that reads slowly holds up its client, by the socket's buffers.
io::Task<> Invocation::send_body(std::shared_ptr<Invocation> self, std::shared_ptr<http::BodyReader> body) {
  Invocation& it = *self;
  const std::shared_ptr<http::Upstream> upstream = it.upstream_;
  const bool chunked = !body->length();
  std::string piece;
  std::string framed;
  base::Result<> read;
  base::Result<> sent;
  do {
    piece.clear();
    read = co_await body->read(piece);
    if (!read) break;
    it.bytes_in_ += piece.size();
    if (chunked) {
      framed.clear();
      if (!piece.empty()) framed.append(http::chunk_head(piece.size())).append(piece).append("\r\n");
      if (body->ended()) framed += http::kLastChunk;
    }
    const std::string_view outgoing = chunked ? framed : piece;
    sent = co_await upstream->send_bytes(outgoing);
  } while (sent && !body->ended());
  it.body_under_way_ = false;
  if (read && sent) upstream->end_body();
  if (!read && it.answered_ == base::SteadyTime{}) {
    it.body_error_ = read.error();
    upstream->shut_down();
  }
}

// False, with the error, when no client may see it.
bool Invocation::absorb_head(const http::ResponseHead& head, const std::string& upgrade, Reply& reply) {
  healthy_ = true;
  outcome_ = model::Outcome::kOk;
  std::string wrong;
  const bool switches = head.status == 101 && !upgrade.empty();
  if (!switches && (head.status < 200 || head.status > 599)) wrong = "a status that is not between 200 and 599";
  ReplyHeaders headers(reply);
  for (const http::Header& header : head.headers) {
    if (speaks_fc(runner_->version_) && is_fc_header(header.name)) continue;
    if (wrong.empty()) wrong = headers.add(header.name, header.value);
  }
  if (!wrong.empty()) {
    outcome_ = model::Outcome::kFunctionError;
    error_ = bad_result(runner_->version_, wrong);
    return false;
  }
  status_ = reply.status = head.status;
  if (switches) reply.headers.add("Upgrade", upgrade);
  if (head.framing == http::Framing::kLength) reply.stream_bytes = head.content_length;
  if (head_only_ && head.announced) reply.stream_bytes = head.announced;
  return true;
}

// Of an answer that says that the function failed, as much as its error repeats. Where it breaks off, that will do.
io::Task<> Invocation::read_failure(const http::ResponseHead& head) {
  std::string body;
  base::Result<> read = upstream_->take_pending(body);
  while (read && !upstream_->ended() && body.size() < limits::kToldFailureBytes) {
    read = co_await upstream_->receive_piece(body);
  }
  healthy_ = true;
  outcome_ = model::Outcome::kFunctionError;
  error_ = base::Error{.code = base::Code::kFunctionFailed, .message = name() + " " + told_failure(head, body)};
}

// What is there, and the rest when it is not much and finds room. What is left is to be streamed.
io::Task<base::Result<>> Invocation::read_whole(std::shared_ptr<Invocation> self, std::string& body) {
  http::Upstream& upstream = *self->upstream_;
  base::Result<> read = upstream.take_pending(body);
  const std::uint64_t whole = body.size() + upstream.left();
  const bool fits = upstream.left() > 0 && whole <= kWholeBytes && self->held_.grow_to(whole);
  while (read && fits && !upstream.ended()) {
    read = co_await upstream.receive_piece(body);
  }
  if (!read && read.error().code == base::Code::kUnavailable) co_return base::unavailable("broke its answer off");
  co_return read;
}

io::Task<base::Result<>> Invocation::relay_program(std::shared_ptr<Invocation> self, http::BodyWriter& writer) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Invocation& it = *self;
  it.writer_ = &writer;
  base::Result<> went;
  // The last piece waits for the end of the record, so that whoever has read the answer finds the record.
  while (went && !it.upstream_->ended()) {
    if (!it.piece_.empty()) {
      it.bytes_out_ += it.piece_.size();
      went = co_await writer.write(it.piece_);
      it.piece_.clear();
      if (!went) went = base::Error{.code = base::Code::kCancelled, .message = "the caller went away"};
    }
    if (went) went = co_await it.upstream_->receive_piece(it.piece_);
    if (!went && went.error().code == base::Code::kUnavailable) went = base::unavailable("broke its answer off");
  }
  it.bytes_out_ += it.piece_.size();
  it.settle();
  it.writer_ = nullptr;
  if (!went || it.timed_out_) {
    base::Error error = went ? base::unavailable("took too long") : went.error();
    co_await it.learn_why_program(std::move(error));
  } else {
    it.keep_connection();
  }
  it.finish();
  if (it.error_) co_return *it.error_;
  if (it.piece_.empty()) co_return base::Result<>();
  co_return co_await writer.write(it.piece_);
}

void Invocation::keep_connection() {
  if (upstream_ && upstream_->reusable()) {
    instance_->program->keep(upstream_->take_socket(), runner_->services_.here());
  }
}

// There was no whole answer.
io::Task<> Invocation::learn_why_program(base::Error error) {
  const bool left = (error.code == base::Code::kCancelled || body_error_) && !timed_out_;
  if (timed_out_ || left) {
    co_await learn_why(std::move(error));
    healthy_ = left && !alone_;  // its connection says to the program what to give up
    co_return;
  }
  healthy_ = true;
  if (error.code == base::Code::kResourceExhausted) {
    outcome_ = model::Outcome::kPlatformFault;
    error_ = std::move(error);
    co_return;
  }
  outcome_ = model::Outcome::kFunctionError;
  if (error.code == base::Code::kUnavailable) {
    const base::SteadyTime told_by = base::steady_now() + kEndReport;
    exit_ = co_await instance_->exited.wait(told_by);
    if (exit_) {
      blame_exit();
      co_return;
    }
  }
  const bool lost = error.code == base::Code::kUnavailable;
  error_ = base::Error{
      .code = base::Code::kFunctionFailed,
      .message = name() + (lost ? ": its program " : ": its program's answer is no HTTP/1.1: ") + error.message};
}

}  // namespace ebb::node
