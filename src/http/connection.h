// Connection: one client's TCP connection inside the server: reads a request, awaits the handler, writes the response,
// again.
//
// 1. One coroutine does it all in order; the next request is parsed only after the response to the one before is out.
// 2. Timeouts cost nothing per request: a phase sets `deadline_`, the core's sweep (server.cc) looks at it.
// 3. A handler that reads its request's body itself does so beside its answer (ClientBody, connection_body.cc); whoever
//    reads has let go before the next request, or the end.
// 4. A departed peer is reported by io::HangupWatch, not by reading: pipelined bytes stay in the kernel until their
// turn. Single core. Called by server.cc only.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/head.h"
#include "http/message.h"
#include "http/server.h"
#include "http/tls.h"
#include "io/hangup.h"

namespace boost::asio::ssl {
class context;
template <typename Stream>
class stream;
}  // namespace boost::asio::ssl

namespace ebb::http {

/// What all cores of a server share.
struct ServerState {
  ServerOptions options;
  Handler handler;
  std::atomic<std::size_t> connections{0};
  std::atomic<std::uint64_t> buffered_body_bytes{0};
  std::atomic<bool> draining{false};
};

/// The part of the global body budget that one request holds.
class HeldBytes {
 public:
  explicit HeldBytes(ServerState& state) : state_(state) {}
  ~HeldBytes() { release(); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  /// False, and nothing taken, when the budget would be exceeded.
  bool grow(std::uint64_t bytes);
  /// Takes without asking: for what is in memory already.
  void take(std::uint64_t bytes);
  void release();

 private:
  ServerState& state_;
  std::uint64_t bytes_ = 0;
};

class Connection {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Parts = std::array<boost::asio::const_buffer, 3>;

  Connection(Socket socket, std::shared_ptr<ServerState> state, std::shared_ptr<io::HangupWatch> watch);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Serves requests until the connection ends. The Connection must outlive the task.
  io::Task<> serve();
  /// The slot that serve() is spawned with.
  boost::asio::cancellation_slot slot() { return cancel_.slot(); }

  /// The sweep: ends the current wait when its deadline is past.
  void expire(base::SteadyTime now);
  /// Closes the connection if no request is under way; otherwise its response will be the last.
  void drain();
  /// Cancels whatever is under way.
  void abort();

 private:
  enum class Phase : std::uint8_t { kIdle, kHead, kBody, kHandling, kWriting, kTunnel, kLingering };
  enum class Read : std::uint8_t { kBytes, kEnded, kTimedOut };
  class ClientBody;
  class StreamWriter;
  class NoBodyWriter;
  class ClientEnd;

  io::Task<bool> shake_hands();
  io::Task<> say_goodbye();
  io::Task<bool> serve_one();
  io::Task<bool> read_head();
  io::Task<bool> serve_unread();
  io::Task<bool> read_body(std::string& body, std::uint64_t limit);
  io::Task<bool> say_continue();
  io::Task<bool> read_sized_body(std::string& body);
  io::Task<bool> read_chunked_body(std::string& body, std::uint64_t limit);
  io::Task<bool> handle();
  io::Task<bool> respond(Response response);
  io::Task<bool> stream_body(Response& response, bool chunked);
  io::Task<> run_tunnel(Response& response);
  io::Task<base::Result<>> run_stream(Response& response, BodyWriter& writer);
  void reset();
  io::Task<> refuse();
  io::Task<> linger();
  io::Task<> linger_if_unread();
  io::Task<> let_go_of_body();
  io::Task<Read> fill();
  /// kPiece: of something that may take long; kWhole: of what is in memory until all of it is out.
  enum class Of : bool { kPiece, kWhole };
  io::Task<base::Result<>> write_all(Parts parts, Of of = Of::kPiece);

  void enter(Phase phase, base::Duration limit);
  void expect_more(Phase phase, base::SteadyTime begun, std::uint64_t passed);
  void peer_left();
  bool admitted();
  std::uint64_t body_limit() const;
  bool is_left_unread() const;
  bool has_unread() const;
  bool is_refused();
  bool body_refused(Read read);
  bool parse_head(std::size_t size);
  bool hold(std::uint64_t more, std::uint64_t whole);
  std::string_view pending() const { return {buffer_.data() + begin_, end_ - begin_}; }
  const ServerOptions& options() const { return state_->options; }

  Socket socket_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_;  // with TLS: outlives the stream
  std::unique_ptr<TlsStream> tls_;                          // over socket_, whose deadlines and end stay the same
  std::shared_ptr<ServerState> state_;
  std::shared_ptr<io::HangupWatch> watch_;
  std::optional<io::HangupWatch::Token> watched_;
  boost::asio::cancellation_signal cancel_;
  std::string peer_address_;

  Phase phase_ = Phase::kIdle;
  base::SteadyTime deadline_ = base::SteadyTime::max();
  base::SteadyTime body_deadline_ = base::SteadyTime::max();  // of a read for unread_, beside all other waits
  bool timed_out_ = false;
  bool peer_gone_ = false;
  bool cut_ = false;  // the last answer is broken, and only a reset says so

  std::vector<char> buffer_;  // read and not yet consumed: [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  HeadScanner scanner_;
  RequestHead head_;                    // of the request under way
  bool head_only_ = false;              // it is a HEAD: the method is gone with the request when the response comes
  std::shared_ptr<ClientBody> unread_;  // of the request under way: its handler reads the body
  std::optional<Refusal> refused_;      // why it cannot be served
  HeldBytes held_;
  BodyRoom room_;    // for the body that is being read, beside what the server has
  std::string out_;  // the response's head, reused
};

}  // namespace ebb::http
