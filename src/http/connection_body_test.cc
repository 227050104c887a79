// Goal: a body that its handler reads itself arrives as it was sent, breaks where the client breaks it, and never
// becomes the next request. Method: a server on loopback whose handlers read, do not read, or go on reading too long.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/limits.h"
#include "http/loopback_test_server.h"
#include "io/deadline.h"

namespace ebb::http::testing {
namespace {

ServerOptions unread() {
  ServerOptions options;
  options.leaves_unread = [](const Request& request) { return request.path != "/whole"; };
  return options;
}

std::string chunked(const std::string& target, const std::string& body) {
  return "POST " + target + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}

io::Task<Response> read_pieces(Request request) {
  Response response;
  if (!request.unread) {
    response.body = "whole " + std::to_string(request.body.size());
    co_return response;
  }
  std::size_t count = 0;
  base::Result<> went = co_await request.unread->begin();
  while (went && !request.unread->ended()) {
    std::string piece;
    went = co_await request.unread->read(piece);
    count += piece.size();
  }
  response.body = "pieces " + std::to_string(count);
  response.status = went ? 200 : 500;
  co_return response;
}

io::Task<Response> read_nothing(Request) {
  Response response;
  response.body = "enough";
  co_return response;
}

TEST(UnreadBody, OnlyWhatIsLongOrOfUnknownLengthIsLeft) {
  LoopbackServer server;
  server.start(unread(), read_pieces);
  RawClient client(server.port());
  const std::string large(limits::kUnreadBodyBytes + 1, 'x');
  client.send(post("/", "small"));
  EXPECT_EQ(body_of(client.read_response()), "whole 5");
  client.send(post("/", large));
  EXPECT_EQ(body_of(client.read_response()), "pieces " + std::to_string(large.size()));
  client.send(post("/whole", large));
  EXPECT_EQ(body_of(client.read_response()), "whole " + std::to_string(large.size()));
  client.send(chunked("/", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: r\r\n\r\n") + chunked("/", "0\r\n\r\n") + get("/"));
  EXPECT_EQ(body_of(client.read_response()), "pieces 5");
  EXPECT_EQ(body_of(client.read_response()), "pieces 0");
  EXPECT_EQ(body_of(client.read_response()), "whole 0");
}

TEST(UnreadBody, ContinueIsSaidWhenTheHandlerBegins) {
  LoopbackServer server;
  server.start(unread(), read_pieces);
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(body_of(client.read_response()), "pieces 1");
}

TEST(UnreadBody, WhatIsNotReadEndsTheConnectionAndIsNoRequest) {
  LoopbackServer server;
  server.start(unread(), read_nothing);
  RawClient client(server.port());
  client.send(chunked("/", "30\r\n" + get("/smuggled")));
  const std::string answer = client.read_response();
  EXPECT_EQ(body_of(answer), "enough");
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(UnreadBody, AClientThatIsLateOrWrongIsTold) {
  ServerOptions options = unread();
  options.body_stall_timeout = 50ms;
  LoopbackServer server;
  server.start(options, read_pieces);
  for (const auto& [body, status] :
       {std::pair{"5\r\n12", 408}, std::pair{"", 408}, std::pair{"x", 400}, std::pair{"2\r\nabc\r\n", 400}}) {
    RawClient client(server.port());
    client.send(chunked("/", body));
    const std::string answer = client.read_response();
    EXPECT_EQ(status_of(answer), status) << body << answer;
    EXPECT_EQ(client.read_to_end(), "");
  }
}

struct Outlived {
  std::promise<base::Code> ended;
  std::shared_ptr<BodyReader> reader;
};

io::Task<> read_on(std::shared_ptr<Outlived> outlived) {
  std::string piece;
  base::Result<> went;
  while (went && !outlived->reader->ended()) went = co_await outlived->reader->read(piece);
  const base::Result<> again = co_await outlived->reader->read(piece);
  outlived->ended.set_value(went ? base::Code::kInternal : again ? base::Code::kInternal : again.error().code);
}

io::Task<Response> leave_reading(LoopbackServer& server, std::shared_ptr<Outlived> outlived, Request request) {
  outlived->reader = request.unread;
  io::spawn(server.cores().context(0), "reads on", read_on(outlived));
  Response response;
  response.body = "early";
  co_return response;
}

TEST(UnreadBody, AReaderThatOutlivesItsRequestIsLetGo) {
  LoopbackServer server;
  const auto outlived = std::make_shared<Outlived>();
  server.start(unread(),
               [&server, outlived](Request request) { return leave_reading(server, outlived, std::move(request)); });
  auto ended = outlived->ended.get_future();
  RawClient client(server.port());
  client.send(chunked("/", "5\r\n12"));
  EXPECT_EQ(body_of(client.read_response()), "early");
  ASSERT_EQ(ended.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(ended.get(), base::Code::kCancelled);
  client.close();
}

TEST(UnreadBody, AClientThatGoesAwayEndsTheHandlersRead) {
  LoopbackServer server;
  const auto outlived = std::make_shared<Outlived>();
  server.start(unread(),
               [&server, outlived](Request request) { return leave_reading(server, outlived, std::move(request)); });
  auto ended = outlived->ended.get_future();
  {
    RawClient client(server.port());
    client.send(chunked("/", "5\r\n12"));
    client.reset();
  }
  ASSERT_EQ(ended.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(ended.get(), base::Code::kCancelled);
}

io::Task<Response> take_all(Request request) {
  Response response;
  BodyRoom room;
  const base::Result<std::string> body = co_await request.unread->read_all(std::move(room));
  response.status = body ? 200 : base::http_status_of(body.error().code);
  response.body = body ? "all " + std::to_string(body->size()) : body.error().message;
  co_return response;
}

TEST(UnreadBody, ReadWholeItKeepsToTheServersLimits) {
  ServerOptions options = unread();
  options.body_bytes_max = limits::kUnreadBodyBytes + 10;
  LoopbackServer server;
  server.start(options, take_all);
  RawClient client(server.port());
  client.send(post("/", std::string(limits::kUnreadBodyBytes + 10, 'x')));
  EXPECT_EQ(body_of(client.read_response()), "all " + std::to_string(limits::kUnreadBodyBytes + 10));
  client.send(post("/", std::string(limits::kUnreadBodyBytes + 11, 'x')));
  EXPECT_EQ(status_of(client.read_response()), 413);
  RawClient other(server.port());
  other.send(chunked("/", "11000\r\n" + std::string(0x11000, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_EQ(status_of(other.read_response()), 413);
}

struct Asked {
  std::mutex mutex;
  std::vector<std::uint64_t> sizes;
};

io::Task<Response> take_in_a_room(std::shared_ptr<Asked> asked, std::uint64_t most, Request request) {
  Response response;
  BodyRoom room = [asked, most](std::uint64_t bytes) -> base::Result<> {
    std::lock_guard lock(asked->mutex);
    asked->sizes.push_back(bytes);
    if (bytes <= most) return {};
    return base::Error{.code = base::Code::kResourceExhausted, .message = "no room for it"};
  };
  const base::Result<std::string> body = co_await request.unread->read_all(std::move(room));
  if (body) response.body = "all " + std::to_string(body->size());
  co_return response;
}

TEST(UnreadBody, ReadWholeItNeedsRoomBeforeItIsThere) {
  constexpr std::uint64_t kMost = 1 << 20;
  const auto asked = std::make_shared<Asked>();
  LoopbackServer server;
  server.start(unread(), [asked](Request request) { return take_in_a_room(asked, kMost, std::move(request)); });
  for (const bool in_chunks : {false, true}) {
    asked->sizes.clear();
    RawClient client(server.port());
    const std::string fits(kMost, 'x');
    if (!in_chunks) {
      client.send(post("/", fits));
      EXPECT_EQ(body_of(client.read_response()), "all " + std::to_string(kMost));
    }
    char head[16];
    RawClient other(server.port());
    const std::string more(4 * kMost, 'x');
    std::snprintf(head, sizeof head, "%zx\r\n", more.size());
    other.send(in_chunks ? chunked("/", head + more + "\r\n0\r\n\r\n") : post("/", more));
    const std::string answer = other.read_response();
    EXPECT_EQ(status_of(answer), 429) << answer;
    EXPECT_NE(answer.find("no room for it"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
    std::lock_guard lock(asked->mutex);
    EXPECT_TRUE(!asked->sizes.empty() && asked->sizes.back() <= 2 * kMost) << "a step beyond, and no more";
  }
}

}  // namespace
}  // namespace ebb::http::testing
