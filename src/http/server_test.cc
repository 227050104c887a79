// Goal: what a client may rely on: keep-alive, pipelining, framing, streaming, cancellation, cores, drain.
// Method: the real server over loopback; raw sockets where the bytes matter, the real client elsewhere.
#include "http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <future>
#include <set>

#include "http/client.h"
#include "http/loopback_test_server.h"
#include "io/deadline.h"

namespace ebb::http::testing {
namespace {

// Answers with what arrived: "METHOD path?query body".
io::Task<Response> describe(Request request) {
  Response response;
  response.headers.add("Content-Type", "text/plain");
  response.body = request.method + " " + request.path + "?" + request.query + " " + request.body;
  co_return response;
}

io::Task<Response> echo(Request request) {
  Response response;
  response.body = std::move(request.body);
  co_return response;
}

TEST(Server, AnswersAndKeepsTheConnection) {
  LoopbackServer server;
  server.start({}, describe);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.send(get("/a/b?x=" + std::to_string(i)));
    const std::string response = client.read_response();
    EXPECT_EQ(response.substr(0, 17), "HTTP/1.1 200 OK\r\n");
    EXPECT_NE(response.find("\r\nServer: ebb\r\n"), std::string::npos);
    EXPECT_NE(response.find("\r\nDate: "), std::string::npos);
    EXPECT_EQ(response.find("Connection:"), std::string::npos);
    EXPECT_EQ(body_of(response), "GET /a/b?x=" + std::to_string(i) + " ");
  }
  EXPECT_EQ(server.server().connections(), 1u);
}

io::Task<Response> slowest_first(Request request) {
  if (request.path == "/1") co_await io::sleep_for(20ms);
  Response response;
  response.body = request.path + request.body;
  co_return response;
}

TEST(Server, PipelinedRequestsAreAnsweredInOrder) {
  LoopbackServer server;
  server.start({}, slowest_first);
  RawClient client(server.port());
  client.send(get("/1") + post("/2", "body") + "\r\n" + get("/3"));
  EXPECT_EQ(body_of(client.read_response()), "/1");
  EXPECT_EQ(body_of(client.read_response()), "/2body");
  EXPECT_EQ(body_of(client.read_response()), "/3");
}

TEST(Server, OldAndClosingClients) {
  LoopbackServer server;
  server.start({}, describe);
  {
    RawClient client(server.port());
    client.send("GET /old HTTP/1.0\r\n\r\n");
    bool closed = false;
    const std::string response = client.read_to_end(&closed);
    EXPECT_TRUE(closed);
    EXPECT_NE(response.find("Connection: close\r\n"), std::string::npos);
    EXPECT_EQ(body_of(response), "GET /old? ");
  }
  {
    RawClient client(server.port());
    client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_NE(client.read_response().find("Connection: keep-alive\r\n"), std::string::npos);
    // What follows a close is not served, and does not cost the answer.
    client.send("GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + get("/3"));
    bool closed = false;
    EXPECT_EQ(body_of(client.read_to_end(&closed)), "GET /2? ");
  }
}

io::Task<Response> by_path(Request request) {
  Response response;
  if (request.path == "/204") response.status = 204;
  if (request.path == "/304") response.status = 304;
  if (request.path == "/99") response.status = 99;
  if (request.path == "/break") response.headers.add("X", "a\r\nSet-Cookie: stolen");
  if (request.path == "/throw") throw std::runtime_error("handler broke on purpose");
  response.body = "body";
  co_return response;
}

TEST(Server, BodilessAnswersAndHead) {
  LoopbackServer server;
  server.start({}, by_path);
  RawClient client(server.port());
  // Each is followed by a GET on the same connection: a stray body would be read as its head.
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get("/204") + get("/304") + get("/"));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 4\r\n"), std::string::npos);
  const std::string no_content = client.read_until("\r\n\r\n");
  EXPECT_EQ(status_of(no_content), 204);
  EXPECT_EQ(no_content.find("Content-Length"), std::string::npos);
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 304);
  EXPECT_EQ(body_of(client.read_response()), "body");
}

TEST(Server, AHandlersFaultIsA500AndNothingIsInjected) {
  LoopbackServer server;
  server.start({}, by_path);
  RawClient client(server.port());
  ::testing::internal::CaptureStderr();
  for (const char* path : {"/throw", "/break", "/99"}) {
    client.send(get(path));
    const std::string response = client.read_response();
    EXPECT_EQ(status_of(response), 500) << path;
    EXPECT_EQ(response.find("stolen"), std::string::npos);
    EXPECT_EQ(response.find("on purpose"), std::string::npos);  // the log's business
  }
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_response()), 200);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("handler broke on purpose"), std::string::npos);
}

TEST(Server, ChunkedRequestsAreDecodedHoweverTheyAreCut) {
  LoopbackServer server;
  server.start({}, describe);
  RawClient client(server.port());
  const std::string request =
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\nT: "
      "v\r\n\r\n";
  client.send(request + get("/next"));
  EXPECT_EQ(body_of(client.read_response()), "POST /c? Wikipedia ");
  EXPECT_EQ(body_of(client.read_response()), "GET /next? ");
  for (const char byte : request) client.send(std::string_view(&byte, 1));
  EXPECT_EQ(body_of(client.read_response()), "POST /c? Wikipedia ");
}

TEST(Server, ThirtyTwoMegabytesBothWays) {
  LoopbackServer server;
  server.start({}, echo);
  ClientRequest wanted;
  wanted.method = "POST";
  wanted.url = server.url("/echo");
  wanted.body.resize(limits::kHttpBodyBytes);
  for (std::size_t i = 0; i < wanted.body.size(); ++i) wanted.body[i] = static_cast<char>(i * 2654435761u >> 13);
  const std::string sent = wanted.body;
  std::uint64_t reported = 0;
  wanted.on_sent = [&reported](std::uint64_t bytes) {
    EXPECT_GT(bytes, reported);
    reported = bytes;
  };
  const auto response = fetch(std::move(wanted), 60s);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_TRUE(response->body == sent);
  EXPECT_EQ(reported, sent.size());
}

TEST(Server, ContinueIsSaidOnlyWhenTheBodyIsAwaited) {
  LoopbackServer server;
  server.start({}, describe);
  RawClient client(server.port());
  const std::string head = "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n";
  client.send(head);
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  EXPECT_EQ(body_of(client.read_response()), "POST /e? body");
  client.send(head + "body");
  EXPECT_EQ(body_of(client.read_response()), "POST /e? body");  // it was there already
  client.send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(status_of(client.read_response()), 200);
}

// Signals of the handlers that wait to be cancelled.
struct Waiting {
  std::promise<void> entered;
  std::promise<bool> left;  // true: cancelled
};

io::Task<Response> wait_for_cancellation(Waiting& waiting) {
  waiting.entered.set_value();
  bool cancelled = false;
  try {
    co_await io::sleep_for(60s);
  } catch (const boost::system::system_error& error) {
    cancelled = error.code() == boost::asio::error::operation_aborted;
  }
  waiting.left.set_value(cancelled);
  co_return Response();
}

bool cancels_when(const std::function<void(RawClient&)>& leave, std::string_view extra = {}) {
  Waiting waiting;
  LoopbackServer server;
  server.start({}, [&waiting](Request) { return wait_for_cancellation(waiting); });
  RawClient client(server.port());
  client.send(get("/wait") + std::string(extra));
  waiting.entered.get_future().wait();
  leave(client);
  auto left = waiting.left.get_future();
  return left.wait_for(10s) == std::future_status::ready && left.get();
}

TEST(Server, AClientThatGoesAwayCancelsTheHandler) {
  EXPECT_TRUE(cancels_when([](RawClient& client) { client.close(); }));
  EXPECT_TRUE(cancels_when([](RawClient& client) { client.reset(); }));
  EXPECT_TRUE(cancels_when([](RawClient& client) { client.half_close(); }));
  // Also behind a pipelined request that nobody has read, even one larger than any buffer here.
  EXPECT_TRUE(cancels_when([](RawClient& client) { client.close(); }, get("/next")));
  EXPECT_TRUE(cancels_when([](RawClient& client) { client.close(); }, post("/next", std::string(60'000, 'x'))));
}

struct Pair {
  std::promise<void> entered;
  std::promise<void> release;
};

io::Task<Response> wait_for_release(Request request, Pair& pair) {
  if (request.path == "/first") {
    pair.entered.set_value();
    std::future<void> released = pair.release.get_future();
    while (released.wait_for(0s) != std::future_status::ready) co_await io::sleep_for(1ms);
  }
  Response response;
  response.body = request.path;
  co_return response;
}

TEST(Server, APipelinedRequestIsNoDeparture) {
  Pair pair;
  LoopbackServer server;
  server.start({}, [&pair](Request request) { return wait_for_release(std::move(request), pair); });
  RawClient client(server.port());
  client.send(get("/first"));
  pair.entered.get_future().wait();
  client.send(get("/second"));
  pair.release.set_value();
  EXPECT_EQ(body_of(client.read_response()), "/first");
  EXPECT_EQ(body_of(client.read_response()), "/second");
}

io::Task<base::Result<>> three_pieces(BodyWriter& writer, bool fails) {
  for (const std::string_view piece :
       {std::string_view("one,"), std::string_view(), std::string_view("two,"), std::string_view("three")}) {
    const base::Result<> sent = co_await writer.write(piece);
    if (!sent) co_return sent.error();
  }
  if (fails) co_return base::internal("the source broke");
  co_return base::Result<>();
}

io::Task<Response> streamed(Request request) {
  Response response;
  const bool fails = request.path == "/fails";
  response.stream = [fails](BodyWriter& writer) { return three_pieces(writer, fails); };
  co_return response;
}

TEST(Server, StreamsInChunks) {
  LoopbackServer server;
  server.start({}, streamed);
  RawClient client(server.port());
  client.send(get("/") + "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get("/fails"));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 200);  // HEAD: no body
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 200);
  const std::string cut = client.read_to_end();
  EXPECT_EQ(cut, "4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n");  // no last chunk: the client sees that it is broken
  RawClient old(server.port());
  old.send("GET / HTTP/1.0\r\n\r\n");
  const std::string plain = old.read_to_end();
  EXPECT_EQ(plain.find("chunked"), std::string::npos);
  EXPECT_EQ(body_of(plain), "one,two,three");
}

io::Task<base::Result<>> endless(BodyWriter& writer, std::promise<bool>& ended) {
  const std::string piece(64 * 1024, 'x');
  bool cancelled = false;
  try {
    base::Result<> sent;
    while (sent) sent = co_await writer.write(piece);
    cancelled = sent.error().code == base::Code::kCancelled;
  } catch (const boost::system::system_error&) {
    cancelled = true;
  }
  ended.set_value(cancelled);
  co_return base::Result<>();
}

io::Task<Response> stream_endlessly(std::promise<bool>& ended) {
  Response response;
  response.stream = [&ended](BodyWriter& writer) { return endless(writer, ended); };
  co_return response;
}

TEST(Server, AClientThatGoesAwayEndsAStream) {
  std::promise<bool> ended;
  LoopbackServer server;
  server.start({}, [&ended](Request) { return stream_endlessly(ended); });
  RawClient client(server.port());
  client.send(get("/"));
  client.read_until("xxx");
  client.close();
  auto cancelled = ended.get_future();
  ASSERT_EQ(cancelled.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(cancelled.get());
}

io::Task<Response> name_core(Request request) {
  Response response;
  response.body = std::to_string(io::Cores::current()) + " " + request.peer_address + " " +
                  (request.received_at <= base::steady_now() ? "ok" : "early");
  co_return response;
}

TEST(Server, EveryCoreServesAndAConnectionStaysOnItsOwn) {
  LoopbackServer server(2);
  server.start({}, name_core);
  std::set<std::string> seen;
  // The kernel spreads connections by a hash of their ports: 64 on one core have a chance of 2^-63.
  for (int i = 0; i < 64; ++i) {
    RawClient client(server.port());
    client.send(get("/"));
    const std::string first = body_of(client.read_response());
    client.send(get("/"));
    EXPECT_EQ(body_of(client.read_response()), first);
    seen.insert(first);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"0 127.0.0.1 ok", "1 127.0.0.1 ok"}));
}

TEST(Server, ATakenPortIsAConflictAndABadAddressIsRefused) {
  LoopbackServer server;
  server.start({}, describe);
  io::Cores cores(1);
  ServerOptions taken;
  taken.port = server.port();
  Server second(cores, taken, describe);
  const auto port = second.listen();
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code, base::Code::kConflict);
  ServerOptions wrong;
  wrong.host = "no-address";
  Server third(cores, wrong, describe);
  EXPECT_EQ(third.listen().error().code, base::Code::kInvalidArgument);
}

TEST(Server, DrainEndsIdleConnectionsAndAwaitsRunningRequests) {
  Pair pair;
  LoopbackServer server;
  server.start({}, [&pair](Request request) { return wait_for_release(std::move(request), pair); });
  RawClient idle(server.port());
  idle.send(get("/"));
  idle.read_response();
  RawClient busy(server.port());
  busy.send(get("/first"));
  pair.entered.get_future().wait();
  auto drained = std::async(std::launch::async, [&] { return server.drain(30s); });
  bool closed = false;
  EXPECT_EQ(idle.read_to_end(&closed), "");
  EXPECT_TRUE(closed);
  pair.release.set_value();
  const std::string response = busy.read_to_end(&closed);
  EXPECT_EQ(body_of(response), "/first");
  EXPECT_NE(response.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(drained.get());
  EXPECT_EQ(server.server().connections(), 0u);
  server.halt();
}

TEST(Server, DrainCancelsWhatRunsAtItsDeadline) {
  Waiting waiting;
  LoopbackServer server;
  server.start({}, [&waiting](Request) { return wait_for_cancellation(waiting); });
  RawClient client(server.port());
  client.send(get("/"));
  waiting.entered.get_future().wait();
  const auto drained = server.drain(0s);
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().code, base::Code::kDeadlineExceeded);
  EXPECT_TRUE(waiting.left.get_future().get());
  EXPECT_EQ(server.server().connections(), 0u);
  server.halt();
}

TEST(Server, StoppedCoresMayLeaveRequestsBehind) {
  Waiting waiting;
  {
    LoopbackServer server;
    server.start({}, [&waiting](Request) { return wait_for_cancellation(waiting); });
    RawClient client(server.port());
    client.send(get("/"));
    waiting.entered.get_future().wait();
    server.halt();
  }
  // Under the address sanitizer this shows that destroying the cores frees every coroutine and touches nothing freed.
  EXPECT_EQ(waiting.left.get_future().wait_for(0s), std::future_status::timeout);
}

}  // namespace
}  // namespace ebb::http::testing
