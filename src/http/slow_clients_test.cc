// Goal: who sends or takes what the server holds whole a little at a time is given up, whatever his pauses; what passes
// piece by piece may take as long as it likes. Method: a server with little patience for the whole and much for a
// pause.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "base/limits.h"
#include "http/loopback_test_server.h"

namespace ebb::http::testing {
namespace {

constexpr std::size_t kMuch = 32 << 20;  // more than both kernels' socket buffers take

ServerOptions impatient() {
  ServerOptions options;
  options.body_stall_timeout = 60s;
  options.whole_body_grace = 100ms;
  options.whole_body_pace = 1 << 30;
  return options;
}

io::Task<Response> answer_whole(Request) {
  Response response;
  response.body = std::string(kMuch, 'x');
  co_return response;
}

io::Task<base::Result<>> write_once(BodyWriter& writer) {
  const std::string piece(kMuch / 4, 'x');
  co_return co_await writer.write(piece);
}

io::Task<Response> answer_in_pieces(Request) {
  Response response;
  response.stream_bytes = kMuch / 4;
  response.stream = write_once;
  co_return response;
}

// A little every few milliseconds, to the end.
std::size_t taken_slowly(RawClient& client) {
  client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  std::size_t taken = client.read_until("\r\n\r\n").empty() ? 0 : 1;
  for (;;) {
    const std::size_t more = client.read_bytes(4096).size();
    if (more == 0) return taken - 1;
    taken += more;
    std::this_thread::sleep_for(1ms);
  }
}

TEST(SlowClients, AnAnswerThatIsHeldWholeIsNotTakenForever) {
  LoopbackServer server;
  server.start(impatient(), answer_whole);
  RawClient client(server.port(), 4096);
  EXPECT_LT(taken_slowly(client), kMuch);
  while (server.server().buffered_body_bytes() > 0) std::this_thread::sleep_for(1ms);
}

TEST(SlowClients, WhatIsStreamedMayTakeAsLongAsItLikes) {
  LoopbackServer server;
  server.start(impatient(), answer_in_pieces);
  RawClient client(server.port(), 65536);
  EXPECT_EQ(taken_slowly(client), kMuch / 4);
}

io::Task<Response> count(Request request) {
  Response response;
  BodyRoom room;
  std::size_t size = request.body.size();
  if (request.unread) {
    const base::Result<std::string> body = co_await request.unread->read_all(std::move(room));
    if (body) size = body->size();
  }
  response.body = std::to_string(size);
  co_return response;
}

TEST(SlowClients, ABodyThatIsReadWholeIsNotSentForever) {
  ServerOptions options = impatient();
  options.leaves_unread = [](const Request& request) { return request.path == "/unread"; };
  LoopbackServer server;
  server.start(options, count);
  const std::string chunks = "Transfer-Encoding: chunked\r\n\r\n";
  for (const auto& [target, framing, little] :
       {std::tuple{"/", std::string("Content-Length: 100000\r\n\r\n"), "x"}, std::tuple{"/", chunks, "1\r\nx\r\n"},
        std::tuple{"/unread", std::string("Content-Length: 100000\r\n\r\n"), "x"},
        std::tuple{"/unread", chunks, "1\r\nx\r\n"}}) {
    RawClient client(server.port());
    client.send("POST " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + framing);
    for (int i = 0; i < 100; ++i) {
      client.send(little);
      std::this_thread::sleep_for(2ms);
    }
    const std::string answer = client.read_response();
    EXPECT_EQ(status_of(answer), 408) << target << framing << answer;
    EXPECT_NE(answer.find("came too slowly"), std::string::npos) << answer;
  }
}

TEST(SlowClients, WhatHasPassedEarnsTime) {
  ServerOptions options = impatient();
  options.whole_body_grace = 50ms;
  options.whole_body_pace = 1024;
  LoopbackServer server;
  server.start(options, count);
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60001\r\n\r\n" + std::string(60'000, 'x'));
  std::this_thread::sleep_for(200ms);
  client.send("x");
  EXPECT_EQ(body_of(client.read_response()), "60001");
}

}  // namespace
}  // namespace ebb::http::testing
