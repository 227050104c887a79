// A streamed answer, from its head to its end. What an instance may do wrong here is an attacker's choice: a piece
// behind the end, one beyond the announced length, the answer of another request, no end at all. Each of it ends the
// invocation and the instance; the daemon holds one piece whatever comes.
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "node/invocation.h"
#include "node/result_frame.h"

namespace ebb::node {

namespace asio = io::asio;

// False, with the error, when the first piece is more than the head announced.
bool Invocation::begin_stream(const Reply& reply) {
  if (held_.counted() > 0) {  // a long head, which has been taken in: while it streams there is a piece, not counted
    std::string().swap(frame_.meta);
    held_.release();
  }
  const bool bodiless = head_only_ || reply.status == 204 || reply.status == 304;
  if (!bodiless) bytes_promised_ = reply.stream_bytes;
  if (!bytes_promised_ || frame_.body.size() <= *bytes_promised_) return true;
  broke_protocol("streams more than the " + std::to_string(*bytes_promised_) + " bytes of its Content-Length");
  return false;
}

io::Task<base::Result<>> Invocation::relay(std::shared_ptr<Invocation> self, http::BodyWriter& writer) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Invocation& it = *self;
  sandbox::Channel& channel = it.channel();
  it.writer_ = &writer;
  std::string last;  // what completes an announced length waits for the end: then the record is closed before it
  Next next = Next::kPiece;
  while (next == Next::kPiece) {
    base::Result<> went;
    it.bytes_out_ += it.frame_.body.size();
    if (it.bytes_promised_ == it.bytes_out_) {
      last = std::move(it.frame_.body);
    } else if (!it.frame_.body.empty()) {
      went = co_await writer.write(it.frame_.body);
    }
    // Whatever keeps the client from taking it: it has gone, to the invocation.
    if (!went) went = base::Error{.code = base::Code::kCancelled, .message = "the caller went away"};
    do {
      if (went && it.floods()) went = co_await rest(self);
      if (went) went = co_await channel.receive_into(it.frame_, &it.held_);
    } while (went && it.took_words());
    if (!went || it.timed_out_) {
      base::Error error = went ? base::unavailable("the time is up") : went.error();
      it.settle();
      co_await it.learn_why(std::move(error));
      break;
    }
    next = it.judge();
  }
  it.writer_ = nullptr;
  it.finish();
  if (it.error_) co_return *it.error_;
  if (last.empty()) co_return base::Result<>();
  co_return co_await writer.write(last);
}

// What the frame at hand means to a stream that has begun.
Invocation::Next Invocation::judge() {
  if (frame_.header.invocation != id_) {
    broke_protocol("answered another request than it was given");
    return Next::kBroken;
  }
  if (frame_.header.type == wire::FrameType::kPiece) {
    if (!bytes_promised_ || bytes_out_ + frame_.body.size() <= *bytes_promised_) return Next::kPiece;
    broke_protocol("streams more than the " + std::to_string(*bytes_promised_) + " bytes of its Content-Length");
    return Next::kBroken;
  }
  if (frame_.header.type == wire::FrameType::kEnd) return judge_end();
  if (frame_.header.type != wire::FrameType::kError) {
    broke_protocol("sent something else than a piece in the middle of a stream");
    return Next::kBroken;
  }
  Reply failed;
  exchanged_ = healthy_ = absorb_result(frame_, runner_->version_, failed, outcome_);
  error_ = std::move(failed.error);
  return Next::kBroken;
}

Invocation::Next Invocation::judge_end() {
  if (!channel().is_quiet()) {
    broke_protocol("sent more behind the end of its stream");
    return Next::kBroken;
  }
  exchanged_ = healthy_ = true;
  if (bytes_promised_ && bytes_out_ != *bytes_promised_) {
    outcome_ = model::Outcome::kFunctionError;
    error_ = base::Error{.code = base::Code::kFunctionFailed,
                         .message = name() + " ended its stream after " + std::to_string(bytes_out_) + " of the " +
                                    std::to_string(*bytes_promised_) + " bytes of its Content-Length"};
    return Next::kBroken;
  }
  outcome_ = model::Outcome::kOk;
  return Next::kEnd;
}

}  // namespace ebb::node
