// Goal: whole answers of a server behind this one are told from broken ones, nothing unbounded is kept, and a peer that
// answers while it is sent to blocks nobody. Method: a socket on loopback whose other end is written by hand.
#include "http/upstream.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "base/limits.h"
#include "http/loopback_test_server.h"

namespace ebb::http::testing {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

struct Outcome {
  base::Result<ResponseHead> head = base::internal("nothing came");
  base::Result<> body;
  std::string text;
  std::size_t largest_piece = 0;
  bool silent = false;
  bool reusable = false;
};

io::Task<> run(tcp::socket socket, std::string method, std::string request_body, Outcome& outcome) {
  const auto upstream = std::make_shared<Upstream>(std::move(socket));
  std::string head =
      method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(request_body.size()) + "\r\n\r\n";
  const base::Result<> sent = co_await Upstream::send(upstream, std::move(head), std::move(request_body));
  if (!sent) {
    outcome.head = sent.error();
    co_return;
  }
  outcome.head = co_await upstream->receive_head(method);
  outcome.silent = upstream->silent();
  while (outcome.head && outcome.body && !upstream->ended()) {
    std::string piece;
    outcome.body = co_await upstream->receive_piece(piece);
    outcome.largest_piece = std::max(outcome.largest_piece, piece.size());
    outcome.text += piece;
  }
  outcome.reusable = upstream->reusable();
}

/// `peer` is given the other end in a thread of its own; it is closed when it returns.
Outcome exchange_with(const std::function<void(tcp::socket&)>& peer, const std::string& method = "GET",
                      std::string request_body = "") {
  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  tcp::socket ours(context);
  ours.connect(acceptor.local_endpoint());
  tcp::socket theirs = acceptor.accept();
  std::thread thread([&] {
    peer(theirs);
    boost::system::error_code ignored;
    theirs.shutdown(tcp::socket::shutdown_send, ignored);
  });
  Outcome outcome;
  io::spawn(context, "exchange", run(std::move(ours), method, std::move(request_body), outcome));
  context.run_for(std::chrono::seconds(20));
  thread.join();
  return outcome;
}

Outcome answered(const std::string& bytes, const std::string& method = "GET") {
  return exchange_with(
      [&](tcp::socket& peer) {
        boost::system::error_code ignored;
        asio::write(peer, asio::buffer(bytes), ignored);
      },
      method);
}

// What the kernel does with what comes next: acknowledges it at once, or waits whether there is something to send too.
using QuickAck = asio::detail::socket_option::boolean<IPPROTO_TCP, TCP_QUICKACK>;

io::Task<> receive_in_parts(tcp::socket socket, std::promise<void> has_head, bool& acknowledges) {
  const auto upstream = std::make_shared<Upstream>(std::move(socket));
  const base::Result<ResponseHead> head = co_await upstream->receive_head("GET");
  has_head.set_value();
  std::string body;
  const base::Result<> received = co_await upstream->receive_piece(body);
  EXPECT_TRUE(head && received && body == "ok");
  QuickAck quick;
  upstream->take_socket().get_option(quick);
  acknowledges = quick.value();
}

TEST(UpstreamTest, APartOfAnAnswerIsAcknowledgedBeforeTheNextIsWaitedFor) {
  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  tcp::socket ours(context);
  ours.connect(acceptor.local_endpoint());
  tcp::socket theirs = acceptor.accept();
  ours.set_option(QuickAck(false));  // as on a connection that has been used a while
  std::promise<void> has_head;
  std::future<void> head_read = has_head.get_future();
  std::thread peer([&] {
    boost::system::error_code ignored;
    asio::write(theirs, asio::buffer(std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")), ignored);
    head_read.wait_for(std::chrono::seconds(20));
    asio::write(theirs, asio::buffer(std::string("ok")), ignored);
  });
  bool acknowledges = false;
  io::spawn(context, "exchange", receive_in_parts(std::move(ours), std::move(has_head), acknowledges));
  context.run_for(std::chrono::seconds(20));
  peer.join();
  EXPECT_TRUE(acknowledges);
}

TEST(UpstreamTest, WholeAnswers) {
  const Outcome sized = answered("HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
  ASSERT_TRUE(sized.head) << sized.head.error().message;
  EXPECT_EQ(sized.head->status, 201);
  EXPECT_EQ(sized.head->headers.get("x-a"), "b");
  EXPECT_EQ(sized.text, "hello");
  EXPECT_TRUE(sized.body && sized.reusable);

  const Outcome chunked =
      answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.text, "abcde");
  EXPECT_TRUE(chunked.body && chunked.reusable);

  const Outcome until_close = answered("HTTP/1.1 200 OK\r\n\r\nall of it");
  EXPECT_EQ(until_close.text, "all of it");
  EXPECT_TRUE(until_close.body);
  EXPECT_FALSE(until_close.reusable);

  EXPECT_FALSE(answered("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").reusable) << "1.0 closes";
  EXPECT_FALSE(answered("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").reusable);
  EXPECT_FALSE(answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK").reusable)
      << "what comes behind an answer nobody asked for";
  const Outcome to_head = answered("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HEAD");
  EXPECT_TRUE(to_head.body && to_head.reusable);
  const Outcome interim =
      answered("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 N\r\n\r\n");
  ASSERT_TRUE(interim.head);
  EXPECT_EQ(interim.head->status, 204);
}

TEST(UpstreamTest, BrokenAnswers) {
  const Outcome nothing = answered("");
  EXPECT_EQ(nothing.head.error().code, base::Code::kUnavailable);
  EXPECT_TRUE(nothing.silent);
  const Outcome half_a_head = answered("HTTP/1.1 200 OK\r\nX: y");
  EXPECT_EQ(half_a_head.head.error().code, base::Code::kUnavailable);
  EXPECT_FALSE(half_a_head.silent);
  for (const char* head :
       {"hello\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"}) {
    const Outcome broken = answered(head);
    ASSERT_FALSE(broken.head) << head;
    EXPECT_EQ(broken.head.error().code, base::Code::kInvalidArgument) << head;
  }
  const std::string endless = "HTTP/1.1 200 OK\r\nX: " + std::string(limits::kHttpHeaderBytes, 'y');
  EXPECT_EQ(answered(endless).head.error().code, base::Code::kInvalidArgument);
  std::string hints;
  for (int i = 0; i < 9; ++i) hints += "HTTP/1.1 103 Hints\r\n\r\n";
  EXPECT_EQ(answered(hints).head.error().code, base::Code::kInvalidArgument);

  const Outcome cut = answered("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  EXPECT_EQ(cut.text, "hello");
  EXPECT_EQ(cut.body.error().code, base::Code::kUnavailable);
  const Outcome bad_chunk = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
  EXPECT_EQ(bad_chunk.body.error().code, base::Code::kInvalidArgument);
}

// Both directions hold more than all buffers between the two: who waits for one to end before it turns to the other
// waits for ever.
TEST(UpstreamTest, AnAnswerComesWhileTheBodyGoesOut) {
  constexpr std::size_t kBytes = 32 << 20;
  const std::string answer(kBytes, 'a');
  std::size_t came = 0;
  const Outcome outcome = exchange_with(
      [&](tcp::socket& peer) {
        boost::system::error_code failed;
        asio::write(peer, asio::buffer("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kBytes) + "\r\n\r\n"),
                    failed);
        asio::write(peer, asio::buffer(answer), failed);
        std::string buffer(1 << 16, '\0');
        while (!failed && came < kBytes) came += peer.read_some(asio::buffer(buffer), failed);
      },
      "POST", std::string(kBytes, 'q'));
  EXPECT_TRUE(outcome.body);
  EXPECT_EQ(outcome.text.size(), kBytes);
  EXPECT_GE(came, kBytes);
  EXPECT_LE(outcome.largest_piece, std::size_t{64} << 10);
}

}  // namespace
}  // namespace ebb::http::testing
