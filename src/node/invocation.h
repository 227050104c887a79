// Invocation: one call in a leased instance, from the lease to the closed usage record.
//
// 1. Every way out passes through finish(), once: no record is lost or doubled, and the instance is given back after
// it.
// 2. An answer in one frame ends the invocation before its Reply exists. A streamed one ends in relay(), which the
//    Reply carries: pieces pass one at a time through one buffer, so a slow client holds up the function and nothing
//    grows; the instance stays leased until the stream has ended.
// 3. A stream that nobody asks for any more ends with the last reference to it, as cancelled.
// On the core of the call. Made by VersionRunner::serve only, whose private parts it uses.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/upstream.h"
#include "meter/usage_log.h"
#include "node/version_runner.h"
#include "sandbox/shares.h"

namespace ebb::node {

/// Reads a body that is still unread into the call, as a part of what the node holds for its app.
/// Errors: as http::BodyReader::read_all; kResourceExhausted where the app has no room.
io::Task<base::Result<>> read_body(Call& call, std::shared_ptr<sandbox::HeldOfApp> of_app);

class Invocation : public std::enable_shared_from_this<Invocation> {
 public:
  Invocation(std::shared_ptr<VersionRunner> runner, const Call& call, std::shared_ptr<sandbox::Instance> instance);
  ~Invocation();
  Invocation(const Invocation&) = delete;
  Invocation& operator=(const Invocation&) = delete;

  /// Runs the call to its answer, or to the head of its stream. Never fails: errors are in the reply. `call` outlives
  /// the task, and is used up by it.
  static io::Task<Reply> run(std::shared_ptr<Invocation> self, Call& call);

 private:
  enum class Next : std::uint8_t { kPiece, kEnd, kBroken };
  struct Words {  // printed by this call, for certain
    sandbox::OutputLines out;
    sandbox::OutputLines err;
  };

  /// Passes the pieces on until the stream ends. `writer` outlives the task.
  static io::Task<base::Result<>> relay(std::shared_ptr<Invocation> self, http::BodyWriter& writer);

  // Of an instance that serves several calls at a time: over a connection of its own (invocation_connection.cc).
  static io::Task<base::Result<>> open_connection(std::shared_ptr<Invocation> self);
  bool took_words();
  /// More words came than are kept: who writes them waits for us, not our core for him.
  bool floods() const { return words_ && (words_->out.floods() || words_->err.floods()); }
  static io::Task<base::Result<>> rest(std::shared_ptr<Invocation> self);
  std::uint64_t end_words();
  void let_connection_go();

  // Of a function that is a web server: over connections to its program (invocation_program.cc).
  static io::Task<Reply> run_program(std::shared_ptr<Invocation> self, Call& call, Reply reply);
  static io::Task<base::Result<http::ResponseHead>> ask_program(std::shared_ptr<Invocation> self, Call& call,
                                                                std::string_view upgrade);
  bool take_kept();
  io::Task<base::Result<>> connect_anew();
  static io::Task<> send_body(std::shared_ptr<Invocation> self, std::shared_ptr<http::BodyReader> body);
  static io::Task<base::Result<>> read_whole(std::shared_ptr<Invocation> self, std::string& body);
  static io::Task<base::Result<>> relay_program(std::shared_ptr<Invocation> self, http::BodyWriter& writer);
  io::Task<> read_failure(const http::ResponseHead& head);
  bool absorb_head(const http::ResponseHead& head, const std::string& upgrade, Reply& reply);
  static io::Task<base::Result<>> relay_tunnel(std::shared_ptr<Invocation> self, http::Tunnel& client);
  static io::Task<> pump_in(std::shared_ptr<Invocation> self, http::Tunnel& client,
                            std::shared_ptr<io::OneShot<bool>> done);
  io::Task<> learn_why_program(base::Error error);
  void keep_connection();

  base::Result<> open();
  void arm_timeout();
  bool absorb(Reply& reply);
  bool begin_stream(const Reply& reply);
  Next judge();
  Next judge_end();
  std::shared_ptr<const void> hand_over_held();
  io::Task<> learn_why(base::Error error);
  void broke_protocol(std::string what);
  void blame_exit();
  void settle();
  void finish();
  model::UsageEnd usage_end() const;
  std::string name() const;
  bool logs_as_lambda() const { return runner_->version_.spec.runtime == "lambda"; }
  /// What its frames pass over.
  sandbox::Channel& channel() { return connection_ ? *connection_ : instance_->channel; }

  const std::shared_ptr<VersionRunner> runner_;
  const std::shared_ptr<sandbox::Instance> instance_;
  const base::InvocationId id_;
  const base::SteadyTime arrived_;
  base::WallTime arrival_{};  // the same, as the record has it
  const base::SteadyTime leased_;
  const bool head_only_;
  const model::Trigger trigger_;
  const std::string alias_;  // by which it was called
  const std::uint8_t attempt_;
  const std::shared_ptr<std::optional<model::Outcome>> told_outcome_;
  const bool alone_;  // nobody else is in the instance while it runs
  const bool first_;  // of its instance
  std::size_t bytes_in_;
  std::optional<meter::UsageSlot> slot_;  // until the record is closed
  sandbox::Shares::Mark mark_;
  sandbox::Share share_;  // once it has ended
  boost::asio::steady_timer timer_;

  sandbox::HeldAnswer held_;
  sandbox::Frame frame_;  // the one at hand; its memory serves a whole stream
  std::unique_ptr<sandbox::Channel> connection_;
  bool exchanged_ = false;  // the connection has had all of the answer
  std::unique_ptr<Words> words_;
  std::shared_ptr<http::Upstream> upstream_;
  bool upstream_anew_ = false;             // made for this call
  bool body_under_way_ = false;            // send_body is not at its end
  std::optional<base::Error> body_error_;  // what the caller's body ended with in the middle
  std::string piece_;                      // of a program's answer: what has come and not gone out
  http::BodyWriter* writer_ = nullptr;
  http::Tunnel* tunnel_ = nullptr;
  std::optional<std::uint64_t> bytes_promised_;
  std::uint64_t bytes_out_ = 0;

  Phases phases_;
  model::Outcome outcome_ = model::Outcome::kFunctionError;
  std::optional<base::Error> error_;
  std::optional<wire::Exited> exit_;
  int status_ = 200;
  bool healthy_ = false;  // the instance may serve again
  bool timed_out_ = false;
  base::SteadyTime answered_{};  // settled: no timeout strikes any more
};

}  // namespace ebb::node
