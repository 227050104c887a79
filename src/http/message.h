// Requests and responses as values, and the writer of a streamed body.
//
// 1. Header names compare without regard to case; their order and spelling are kept.
// 2. Bodies are moved, never copied: a request's is read into the string the handler receives, a response's is written
// from
//    the string the handler gave.
// 3. What a handler gives is checked by the server before it goes out (is_header_name, is_header_value).
// Called by the server, the client, the router and every handler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/task.h"

namespace ebb::http {

/// Compares ASCII letters without regard to case.
bool same_name(std::string_view a, std::string_view b);
/// A token in the sense of RFC 9110: what a method or a header's name may be.
bool is_header_name(std::string_view name);
/// No control character but the tab: what cannot smuggle a line into a head.
bool is_header_value(std::string_view value);
/// True when the comma-separated list holds the token, without regard to case.
bool has_token(std::string_view list, std::string_view token);

struct Header {
  std::string name;
  std::string value;
};

class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> headers) : headers_(headers) {}

  void add(std::string name, std::string value) { headers_.push_back(Header{std::move(name), std::move(value)}); }
  /// Replaces every header of that name by this one.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);
  /// The first of that name, or nullptr. Valid until the next change.
  const std::string* find(std::string_view name) const;
  /// The first of that name, or the fallback.
  std::string_view get(std::string_view name, std::string_view fallback = {}) const;
  std::size_t count(std::string_view name) const;

  void reserve(std::size_t count) { headers_.reserve(count); }
  std::size_t size() const { return headers_.size(); }
  bool empty() const { return headers_.empty(); }
  auto begin() const { return headers_.begin(); }
  auto end() const { return headers_.end(); }

 private:
  std::vector<Header> headers_;
};

/// Whose memory a body takes that is read whole: asked before it takes so many bytes in all, again and again as it
/// grows. Errors: kResourceExhausted, and nothing is read any more.
using BodyRoom = std::function<base::Result<>(std::uint64_t bytes)>;

/// A request's body that the server has not read: whoever serves the request says how. Used by one coroutine at a time,
/// on the connection's core, while the request is served; afterwards reads fail with kCancelled. What is left unread
/// when the answer is out ends the connection. A client that sends nothing for the server's body_stall_timeout is given
/// up, one that breaks the framing as well: the client is told by the server, unless an answer has begun.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  /// Its length as announced; nothing when it comes in chunks.
  virtual std::optional<std::uint64_t> length() const = 0;
  /// Tells a client that waits for it to go on (100). Before the first read, and before anything is answered.
  virtual io::Task<base::Result<>> begin() = 0;
  /// Appends what comes next, a byte at least unless the body has ended, and no more than a piece of 64 KiB.
  /// Errors: kCancelled when the client has gone or sends no body that could be read.
  virtual io::Task<base::Result<>> read(std::string& bytes) = 0;
  /// The whole body, if it keeps to the server's limits and finds room. In place of begin and read.
  /// Errors: as read; kTooLarge, kResourceExhausted, those of `room`.
  virtual io::Task<base::Result<std::string>> read_all(BodyRoom room) = 0;
  virtual bool ended() const = 0;
};

struct Request {
  std::string method;
  std::string target;  // as sent
  std::string path;    // of the target, still percent-encoded, without scheme and host
  std::string query;   // behind the first '?', still percent-encoded, without it
  Headers headers;
  std::string body;
  std::shared_ptr<BodyReader> unread{};  // set: the body is still to be read, and `body` is empty
  std::string peer_address;              // numeric, without port
  unsigned version = 11;                 // 10 or 11
  bool over_tls = false;                 // between the client and this server
  base::SteadyTime received_at{};        // when the head was complete
};

/// Where a streamed response goes. Used by one coroutine at a time.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// Sends the bytes before it returns; `data` must stay until then. Waits while the client reads slowly.
  /// Errors: kCancelled when the client has gone, kDeadlineExceeded when it does not read.
  virtual io::Task<base::Result<>> write(std::string_view data) = 0;
  /// Makes a write under way, and every later one, fail with kDeadlineExceeded: whoever waits for a slow client while
  /// its source has ended is let go. Called on the writer's core.
  virtual void cut() = 0;
};

/// The client's end of a connection that has left HTTP (101). Reading and writing may be under way at one time, each in
/// one coroutine.
class Tunnel {
 public:
  virtual ~Tunnel() = default;
  /// Appends what comes next; nothing when the client has ended its direction. Errors: kCancelled when it has gone,
  /// kDeadlineExceeded when nothing passed either way for limits::kTunnelIdleTimeout.
  virtual io::Task<base::Result<>> read(std::string& bytes) = 0;
  /// As BodyWriter's.
  virtual io::Task<base::Result<>> write(std::string_view data) = 0;
  /// Makes what waits fail. Called on the connection's core.
  virtual void cut() = 0;
};

struct Response {
  int status = 200;
  Headers headers;  // without Date, Server, Content-Length, Transfer-Encoding: the server's own
  std::string body;
  /// When set, the body is what this writes, sent as it comes (chunked); `body` is ignored. An error cuts the
  /// connection, so that the client can tell a broken answer from a whole one. Called once, unless the client has gone
  /// before. Where the answer has no body (HEAD, 204, 304) it is called before the head goes out, and writes fail with
  /// kCancelled.
  std::function<io::Task<base::Result<>>(BodyWriter&)> stream{};
  /// How many bytes the stream will write, if that is known: Content-Length then says so, and a stream of another
  /// length is a broken one.
  std::optional<std::uint64_t> stream_bytes{};
  /// Status 101: what the connection becomes once the head is out; it closes when this returns. Not copied from, nor
  /// called twice.
  std::function<io::Task<base::Result<>>(Tunnel&)> tunnel{};
  /// Let go of when the body is out, or never will be.
  std::shared_ptr<const void> held{};
};

/// The protocol that a request asks to change to, when it may: HTTP/1.1, GET, no body; else empty.
std::string_view upgrade_wanted(const Request& request);

/// The phrase of a status, "Not Found"; empty for a status without one.
std::string_view reason_of(int status);

/// Decodes %XX; '+' stays. Errors: kInvalidArgument for a broken escape or an encoded zero byte.
base::Result<std::string> percent_decode(std::string_view text);

}  // namespace ebb::http
