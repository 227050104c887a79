// What the tests of this part share: a real server on its own threads, and a client that writes and reads raw bytes.
//
// 1. A read waits for bytes or the end of the connection; its ten seconds only end a broken test.
// 2. The server drains and its threads are joined when the fixture goes.
// Included by the *_test.cc files of src/http only.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "http/server.h"
#include "io/cores.h"

namespace ebb::http::testing {

using namespace std::chrono_literals;

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;  // the server may have refused already; what it said is read next
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

  /// Reads until the text appeared and returns everything up to and with it; all there is when the connection ends
  /// before.
  std::string read_until(std::string_view text) {
    for (;;) {
      const std::size_t found = received_.find(text);
      if (found != std::string::npos) return take(found + text.size());
      if (!read_more()) return take(received_.size());
    }
  }
  std::string read_bytes(std::size_t count) {
    while (received_.size() < count && read_more()) {
    }
    return take(std::min(count, received_.size()));
  }
  /// One response with a Content-Length: head and body.
  std::string read_response() {
    std::string response = read_until("\r\n\r\n");
    const std::size_t at = response.find("Content-Length: ");
    if (at != std::string::npos) response += read_bytes(std::strtoul(response.c_str() + at + 16, nullptr, 10));
    return response;
  }
  /// Everything until the server closes. `closed` tells a close from a reset or a lost patience.
  std::string read_to_end(bool* closed = nullptr) {
    while (read_more()) {
    }
    if (closed != nullptr) *closed = closed_;
    return take(received_.size());
  }

 private:
  bool read_more() {
    char bytes[65536];
    const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
    closed_ = count == 0;
    if (count <= 0) return false;
    received_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }
  std::string take(std::size_t count) {
    std::string taken = received_.substr(0, count);
    received_.erase(0, count);
    return taken;
  }

  int fd_ = -1;
  bool closed_ = false;
  std::string received_;
};

/// A server that runs from start() to the end of the test.
class LoopbackServer {
 public:
  explicit LoopbackServer(unsigned cores = 1) : cores_(cores) {}
  ~LoopbackServer() { stop(); }

  void start(ServerOptions options, Handler handler) {
    server_ = std::make_unique<Server>(cores_, std::move(options), std::move(handler));
    auto port = server_->listen();
    ASSERT_TRUE(port) << port.error().message;
    port_ = *port;
    thread_ = std::thread([this] { cores_.run(); });
  }
  base::Result<> drain(base::Duration patience) {
    auto drained = boost::asio::co_spawn(cores_.context(0), server_->drain(base::steady_now() + patience),
                                         boost::asio::use_future);
    return drained.get();
  }
  void stop() {
    if (!thread_.joinable()) return;
    EXPECT_TRUE(drain(10s));
    EXPECT_EQ(server_->connections(), 0u);
    EXPECT_EQ(server_->buffered_body_bytes(), 0u);
    halt();
  }
  /// Ends the threads without a drain.
  void halt() {
    cores_.stop();
    thread_.join();
  }

  std::uint16_t port() const { return port_; }
  std::string url(std::string_view target) const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(target);
  }
  Server& server() { return *server_; }
  io::Cores& cores() { return cores_; }

 private:
  io::Cores cores_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::uint16_t port_ = 0;
};

inline std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n";
}
inline std::string post(std::string_view target, std::string_view body) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}
/// The status of a response's first line, 0 for none.
inline int status_of(std::string_view response) {
  if (response.substr(0, 9) != "HTTP/1.1 ") return 0;
  return std::atoi(std::string(response.substr(9, 3)).c_str());
}
inline std::string body_of(std::string_view response) {
  const std::size_t end = response.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(response.substr(end + 4));
}

}  // namespace ebb::http::testing
