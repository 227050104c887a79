// One exchange with a server behind this one: a request goes out, the answer comes back head first, then piece by
// piece.
//
// 1. Everything that comes is bounded before it is kept: a head by limits::kHttpHeaderBytes, a piece by the buffer.
// 2. The peer is as hostile as a client: what two implementations could read differently is an error (head.h).
// 3. A request's body goes out while the answer comes in, so that neither waits for the other.
// 4. It has no deadline of its own: shut_down() makes whatever waits fail.
// Called by node, one for each call of a function that is a web server. Single core.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/chunked.h"
#include "http/head.h"
#include "io/task.h"

namespace ebb::http {

class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  /// `socket` is connected.
  explicit Upstream(Socket socket) : socket_(std::move(socket)) {}
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  /// Sends a whole head and its body; what of a large body does not go out at once follows while the answer is read,
  /// so the body is taken over. Errors: kUnavailable when the peer has gone.
  static io::Task<base::Result<>> send(std::shared_ptr<Upstream> self, std::string head, std::string body,
                                       std::shared_ptr<const void> held = nullptr);
  /// After a head that was sent without its body: what follows by send_bytes is the body, until end_body.
  void begin_body() { sent_ = false; }
  void end_body() { sent_ = true; }
  /// The answer's head, interim ones (1xx) left out. Errors: kUnavailable when the peer has gone before it was whole;
  /// kInvalidArgument when it is no HTTP/1.1.
  io::Task<base::Result<ResponseHead>> receive_head(std::string_view method);
  /// Appends what has come of the body, without waiting. Errors: kInvalidArgument.
  base::Result<> take_pending(std::string& body);
  /// Appends what comes next of the body, at least a byte, unless it is whole: see ended(). Errors: as receive_head.
  io::Task<base::Result<>> receive_piece(std::string& body);

  /// After 101: appends what comes next as it is; nothing when the peer has ended its direction. Errors: kUnavailable.
  io::Task<base::Result<>> receive_bytes(std::string& bytes);
  /// After 101 or begin_body. May be under way while something is received. Errors: kUnavailable.
  io::Task<base::Result<>> send_bytes(std::string_view bytes);

  /// What is missing of a body of known length; 0 when it is not known.
  std::uint64_t left() const { return framing_ == Framing::kLength ? left_ : 0; }
  /// The body is whole.
  bool ended() const { return ended_; }
  /// Not a byte of an answer has come.
  bool silent() const { return silent_; }
  /// True when another exchange may use the connection; then take_socket() gives it.
  bool reusable() const { return ended_ && keep_alive_ && sent_ && begin_ == end_; }
  Socket take_socket() { return std::move(socket_); }
  /// Ends both directions; a wait under way fails at once.
  void shut_down();

 private:
  static constexpr std::size_t kInterimMax = 8;  // heads of 1xx before the answer

  static io::Task<> send_rest(std::shared_ptr<Upstream> self, std::string body, std::shared_ptr<const void> held);
  void acknowledge();
  io::Task<base::Result<std::size_t>> fill();
  std::string_view pending() const { return {buffer_.get() + begin_, end_ - begin_}; }

  Socket socket_;
  std::unique_ptr<char[]> buffer_;  // read and not yet consumed: [begin_, end_)
  std::size_t room_ = 0;            // of the buffer
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Framing framing_ = Framing::kNone;
  std::uint64_t left_ = 0;  // of kLength
  ChunkDecoder decoder_{UINT64_MAX};
  bool keep_alive_ = false;
  bool past_head_ = false;
  bool ended_ = false;
  bool silent_ = true;
  bool sent_ = false;  // the request is out, its body too
};

}  // namespace ebb::http
