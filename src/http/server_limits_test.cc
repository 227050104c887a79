// Goal: every bound of the server: what stands at the limit passes, one more is refused with the right status and a
// JSON body, and no refused request reaches the handler. Method: the real server over loopback, raw bytes, small
// timeouts awaited by reading.
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "http/client.h"
#include "http/loopback_test_server.h"
#include "io/deadline.h"

namespace ebb::http::testing {
namespace {

class LimitsTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    server_.start(std::move(options), [this](Request request) { return answer(std::move(request), handled_); });
  }
  static io::Task<Response> answer(Request request, std::atomic<int>& handled) {
    ++handled;
    Response response;
    response.body = std::to_string(request.body.size());
    co_return response;
  }
  // Sends the bytes on a fresh connection and returns all that comes back, which must end in an orderly close.
  std::string refused(std::string_view bytes) {
    RawClient client(server_.port());
    client.send(bytes);
    bool closed = false;
    std::string response = client.read_to_end(&closed);
    EXPECT_TRUE(closed) << bytes.substr(0, 100);
    EXPECT_NE(response.find("Connection: close\r\n"), std::string::npos) << bytes.substr(0, 100);
    EXPECT_EQ(body_of(response).substr(0, 18), "{\"error\":{\"code\":\"") << response;
    return response;
  }
  std::string served(std::string_view bytes) {
    RawClient client(server_.port());
    client.send(bytes);
    return client.read_response();
  }

  std::atomic<int> handled_ = 0;
  LoopbackServer server_;
};

// A request whose head has exactly that many bytes.
std::string with_head_bytes(std::size_t bytes) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  const std::size_t rest = bytes - head.size() - 2;
  return head + "X: " + std::string(rest - 5, 'x') + "\r\n\r\n";
}

TEST_F(LimitsTest, HeaderBytes) {
  start();
  EXPECT_EQ(status_of(served(with_head_bytes(limits::kHttpHeaderBytes))), 200);
  EXPECT_EQ(handled_, 1);
  const std::string over = refused(with_head_bytes(limits::kHttpHeaderBytes + 1));
  EXPECT_EQ(status_of(over), 431);
  EXPECT_NE(over.find("headers_too_large"), std::string::npos);
  EXPECT_NE(over.find("16384 bytes"), std::string::npos);
  EXPECT_EQ(status_of(refused("GET / HTTP/1.1\r\n" + std::string(100'000, 'x'))), 431);
  EXPECT_EQ(handled_, 1);
}

TEST_F(LimitsTest, HeaderBytesBehindAPipelinedRequest) {
  start();
  RawClient client(server_.port());
  client.send(get("/") + with_head_bytes(limits::kHttpHeaderBytes) + get("/"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status_of(client.read_response()), 200);
}

TEST_F(LimitsTest, TargetBytes) {
  start();
  EXPECT_EQ(status_of(served(get("/" + std::string(limits::kHttpTargetBytes - 1, 'a')))), 200);
  EXPECT_EQ(status_of(refused(get("/" + std::string(limits::kHttpTargetBytes, 'a')))), 414);
  EXPECT_EQ(status_of(refused("GET /" + std::string(limits::kHttpHeaderBytes * 2, 'a'))), 414);
  EXPECT_EQ(handled_, 1);
}

TEST_F(LimitsTest, BodyBytes) {
  ServerOptions options;
  options.body_bytes_max = 1000;
  start(options);
  EXPECT_EQ(body_of(served(post("/", std::string(1000, 'b')))), "1000");
  // Decided from the head: the body is never sent here, and no 100 Continue asks for it.
  const std::string over =
      refused("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(status_of(over), 413);
  EXPECT_NE(over.find("too_large"), std::string::npos);
  EXPECT_NE(over.find("1000 bytes"), std::string::npos);
  EXPECT_EQ(status_of(refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n")), 413);
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(body_of(served(chunked + "3e8\r\n" + std::string(1000, 'b') + "\r\n0\r\n\r\n")), "1000");
  EXPECT_EQ(status_of(refused(chunked + "3e9\r\n")), 413);
  EXPECT_EQ(handled_, 2);
}

TEST_F(LimitsTest, ARefusedClientThatSendsOnStillReadsTheAnswer) {
  start();
  const std::string over = refused(post("/", std::string(limits::kHttpBodyBytes + 1, 'b')));
  EXPECT_EQ(status_of(over), 413);
  EXPECT_NE(over.find("33554432 bytes"), std::string::npos);
  EXPECT_EQ(handled_, 0);
}

TEST_F(LimitsTest, BodyBytesByRequest) {
  ServerOptions options;
  options.body_bytes_max = 10;
  options.body_limit = [](const Request& request) -> std::uint64_t { return request.path == "/upload" ? 20 : 5; };
  start(options);
  EXPECT_EQ(status_of(served(post("/upload", std::string(20, 'b')))), 200);
  EXPECT_EQ(status_of(refused(post("/upload", std::string(21, 'b')))), 413);
  EXPECT_EQ(status_of(refused(post("/", std::string(6, 'b')))), 413);
}

TEST_F(LimitsTest, MalformedRequestsAre400AndClose) {
  start();
  const char* table[] = {
      "\x16\x03\x01\x02\x01\r\n\r\n",  // TLS
      "GET / HTTP/1.1\nHost: h\n\n",
      "GET / HTTP/1.1\r\nHost: h\n\r\n",
      "GET /\r\n\r\n",
      "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabGET / HTTP/1.1\r\nHost: h\r\n\r\n",
  };
  for (const char* bytes : table) EXPECT_EQ(status_of(refused(bytes)), 400) << bytes;
  EXPECT_EQ(status_of(refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n")), 501);
  EXPECT_EQ(status_of(refused("GET / HTTP/3.0\r\nHost: h\r\n\r\n")), 505);
  EXPECT_EQ(status_of(refused("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n")), 417);
  EXPECT_EQ(handled_, 0);
}

TEST_F(LimitsTest, ARefusalEndsAPipeline) {
  start();
  RawClient client(server_.port());
  client.send(get("/") + "BAD\r\n\r\n" + get("/"));
  EXPECT_EQ(status_of(client.read_response()), 200);
  EXPECT_EQ(status_of(client.read_response()), 400);
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(handled_, 1);
}

TEST_F(LimitsTest, SlowClientsAreClosed) {
  ServerOptions options;
  options.header_timeout = 50ms;
  options.idle_timeout = 50ms;
  options.body_stall_timeout = 50ms;
  start(options);
  EXPECT_EQ(status_of(refused("GET / HTTP/1.1\r\nHost:")), 408);
  EXPECT_EQ(status_of(refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")), 408);
  EXPECT_EQ(status_of(refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12")), 408);
  EXPECT_EQ(handled_, 0);
  bool closed = false;
  RawClient silent(server_.port());
  EXPECT_EQ(silent.read_to_end(&closed), "");
  EXPECT_TRUE(closed);
  RawClient kept(server_.port());
  kept.send(get("/"));
  EXPECT_EQ(status_of(kept.read_response()), 200);
  EXPECT_EQ(kept.read_to_end(&closed), "");
  EXPECT_TRUE(closed);
}

// Larger than what both kernels' socket buffers can take; ends with the code of the write that failed.
io::Task<base::Result<>> write_much(BodyWriter& writer, std::promise<base::Code>& ended) {
  const std::string piece(1 << 20, 'x');
  base::Result<> sent;
  for (int i = 0; i < 64 && sent; ++i) sent = co_await writer.write(piece);
  ended.set_value(sent ? base::Code::kInternal : sent.error().code);
  co_return sent;
}

io::Task<Response> large(std::promise<base::Code>& ended) {
  Response response;
  response.stream = [&ended](BodyWriter& writer) { return write_much(writer, ended); };
  co_return response;
}

TEST(Limits, AClientThatDoesNotReadIsClosed) {
  std::promise<base::Code> ended;
  ServerOptions options;
  options.body_stall_timeout = 50ms;
  LoopbackServer server;
  server.start(options, [&ended](Request) { return large(ended); });
  RawClient client(server.port(), 4096);
  client.send(get("/"));
  auto code = ended.get_future();
  ASSERT_EQ(code.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(code.get(), base::Code::kDeadlineExceeded);
}

TEST_F(LimitsTest, BodiesShareABudget) {
  ServerOptions options;
  options.buffered_body_bytes_max = 1000;
  start(options);
  EXPECT_EQ(status_of(served(post("/", std::string(1000, 'b')))), 200);
  const std::string announced = refused(post("/", std::string(1001, 'b')));
  EXPECT_EQ(status_of(announced), 429);
  EXPECT_NE(announced.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_NE(announced.find("resource_exhausted"), std::string::npos);
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status_of(refused(chunked + "7d0\r\n" + std::string(2000, 'b') + "\r\n0\r\n\r\n")), 429);
  // Another request's bytes count, and count no more once it is answered.
  RawClient holder(server_.port());
  holder.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 600\r\n\r\n" + std::string(599, 'b'));
  while (server_.server().buffered_body_bytes() < 599) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(status_of(refused(post("/", std::string(500, 'b')))), 429);
  holder.send("b");
  EXPECT_EQ(body_of(holder.read_response()), "600");
  while (server_.server().buffered_body_bytes() > 0) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(status_of(served(post("/", std::string(500, 'b')))), 200);
}

TEST_F(LimitsTest, WhatFramesABodyIsNotCountedForLong) {
  ServerOptions options;
  options.buffered_body_bytes_max = 1000;
  start(options);
  RawClient client(server_.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100; ++i) {  // 2,100 bytes, 100 of them of the body
    client.send("0000000000000001\r\nx\r\n");
    std::this_thread::sleep_for(1ms);
  }
  client.send("0\r\n\r\n");
  EXPECT_EQ(body_of(client.read_response()), "100");
}

io::Task<base::Result<>> write_what_is_held(LoopbackServer& server, BodyWriter& writer) {
  const std::string held = std::to_string(server.server().buffered_body_bytes());
  co_return co_await writer.write(held);
}

io::Task<Response> stream_what_is_held(LoopbackServer& server, Request request) {
  Response response;
  response.headers.add("Held-Before", std::to_string(server.server().buffered_body_bytes()));
  request.body.clear();
  response.stream = [&server](BodyWriter& writer) { return write_what_is_held(server, writer); };
  co_return response;
}

TEST(Bodies, CountUntilTheirHandlerHasEndedAndNotUntilItsStreamHas) {
  LoopbackServer server;
  server.start({}, [&server](Request request) { return stream_what_is_held(server, std::move(request)); });
  RawClient client(server.port());
  client.send(post("/", std::string(5000, 'b')));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Held-Before: 5000"), std::string::npos) << head;
  EXPECT_EQ(client.read_bytes(6), "1\r\n0\r\n");  // a chunk: "0"
}

TEST_F(LimitsTest, Connections) {
  ServerOptions options;
  options.connections_max = 2;
  start(options);
  RawClient first(server_.port());
  RawClient second(server_.port());
  for (RawClient* client : {&first, &second}) {
    client->send(get("/"));
    EXPECT_EQ(status_of(client->read_response()), 200);
  }
  RawClient third(server_.port());
  const std::string turned_away = third.read_to_end();
  EXPECT_EQ(status_of(turned_away), 503);
  EXPECT_NE(turned_away.find("Retry-After: 1\r\n"), std::string::npos);
  second.close();
  while (server_.server().connections() > 1) std::this_thread::sleep_for(1ms);
  RawClient fourth(server_.port());
  fourth.send(get("/"));
  EXPECT_EQ(status_of(fourth.read_response()), 200);
}

}  // namespace
}  // namespace ebb::http::testing
