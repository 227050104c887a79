// Goal: the client tells whole answers from broken ones, bounds and streams bodies, reads refusals of large uploads.
// Method: against the real server, and against a socket that answers with fixed broken bytes.
#include "http/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "http/loopback_test_server.h"
#include "io/deadline.h"

namespace ebb::http::testing {
namespace {

io::Task<base::Result<>> lines(BodyWriter& writer) {
  for (int i = 0; i < 3; ++i) {
    const std::string line = "{\"line\":" + std::to_string(i) + "}\n";
    const base::Result<> sent = co_await writer.write(line);
    if (!sent) co_return sent.error();
  }
  co_return base::Result<>();
}

io::Task<Response> serve(Request request) {
  Response response;
  if (request.path == "/lines") {
    response.stream = [](BodyWriter& writer) { return lines(writer); };
  } else if (request.path == "/never") {
    co_await io::sleep_for(60s);
  } else if (request.path == "/missing") {
    response.status = 404;
    response.body = "no such thing";
  } else {
    response.headers.add("X-Seen", std::string(request.headers.get("x-test")));
    response.body = request.method + " " + request.target + " " + std::to_string(request.body.size());
  }
  co_return response;
}

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override { server_.start({}, serve); }
  ClientRequest to(std::string_view target) {
    ClientRequest wanted;
    wanted.url = server_.url(target);
    return wanted;
  }
  LoopbackServer server_;
};

TEST_F(ClientTest, MethodsHeadersAndTargets) {
  ClientRequest wanted = to("/a?b=c");
  wanted.method = "PUT";
  wanted.headers.add("X-Test", "yes");
  wanted.body = "12345";
  const auto response = fetch(wanted, 10s);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "PUT /a?b=c 5");
  EXPECT_EQ(response->headers.get("x-seen"), "yes");
  EXPECT_EQ(fetch(to(""), 10s)->body, "GET / 0");
  ClientRequest head = to("/");
  head.method = "HEAD";
  EXPECT_EQ(fetch(head, 10s)->body, "");
}

TEST_F(ClientTest, StreamsPiecesAndStopsWhenAsked) {
  ClientRequest wanted = to("/lines");
  std::string all;
  wanted.on_chunk = [&all](std::string_view piece) {
    all += piece;
    return true;
  };
  auto response = fetch(wanted, 10s);
  ASSERT_TRUE(response);
  EXPECT_EQ(all, "{\"line\":0}\n{\"line\":1}\n{\"line\":2}\n");
  EXPECT_TRUE(response->body.empty());
  int calls = 0;
  wanted.on_chunk = [&calls](std::string_view) { return ++calls < 1; };
  EXPECT_TRUE(fetch(wanted, 10s));
  EXPECT_EQ(calls, 1);
  // An error's body is for the caller, not for the consumer of lines.
  ClientRequest missing = to("/missing");
  missing.on_chunk = [](std::string_view) {
    ADD_FAILURE();
    return true;
  };
  response = fetch(missing, 10s);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body, "no such thing");
}

TEST_F(ClientTest, ARefusedUploadIsReadNotLost) {
  ClientRequest wanted = to("/");
  wanted.method = "POST";
  wanted.body.resize(limits::kHttpBodyBytes + 1);
  bool wrote = false;
  wanted.on_sent = [&wrote](std::uint64_t) { wrote = true; };
  const auto response = fetch(std::move(wanted), 30s);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 413);
  EXPECT_FALSE(wrote);  // it asked first
}

TEST_F(ClientTest, BoundsAndDeadlines) {
  ClientRequest wanted = to("/");
  wanted.body_bytes_max = 7;
  EXPECT_EQ(fetch(wanted, 10s)->body, "GET / 0");
  wanted.body_bytes_max = 6;
  EXPECT_EQ(fetch(wanted, 10s).error().code, base::Code::kTooLarge);
  ClientRequest streamed = to("/lines");
  streamed.body_bytes_max = 33;
  EXPECT_TRUE(fetch(streamed, 10s));
  streamed.body_bytes_max = 32;
  EXPECT_EQ(fetch(streamed, 10s).error().code, base::Code::kTooLarge);
  EXPECT_EQ(fetch(to("/never"), 20ms).error().code, base::Code::kDeadlineExceeded);
}

TEST(Client, RefusesWhatItCannotSend) {
  for (const char* bad : {"", "127.0.0.1", "ftp://127.0.0.1/", "http://", "http://h:0/", "http://h:65536/",
                          "http://h:x/", "http://u@h/", "http://h/a b", "http://h/a\r\nX: y"}) {
    ClientRequest wanted;
    wanted.url = bad;
    const auto response = fetch(wanted, 10s);
    ASSERT_FALSE(response) << bad;
    EXPECT_EQ(response.error().code, base::Code::kInvalidArgument) << bad;
  }
  ClientRequest injected;
  injected.url = "http://127.0.0.1:1/";
  injected.headers.add("X", "a\r\nY: b");
  EXPECT_EQ(fetch(injected, 10s).error().code, base::Code::kInvalidArgument);
  ClientRequest nobody;
  nobody.url = "http://127.0.0.1:1/";  // tcpmux: nobody listens
  EXPECT_EQ(fetch(nobody, 10s).error().code, base::Code::kUnavailable);
}

// Accepts one connection, reads the head of a request, answers with the bytes and closes.
base::Result<ClientResponse> answered_with(std::string_view bytes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener, 1), 0);
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread server([&] {
    const int fd = ::accept(listener, nullptr, nullptr);
    std::string seen;
    char byte = 0;
    while (seen.find("\r\n\r\n") == std::string::npos && ::recv(fd, &byte, 1, 0) == 1) seen += byte;
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  });
  ClientRequest wanted;
  wanted.url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  auto response = fetch(wanted, 10s);
  server.join();
  ::close(listener);
  return response;
}

TEST(Client, TellsWholeAnswersFromBrokenOnes) {
  EXPECT_EQ(answered_with("HTTP/1.0 200 OK\r\n\r\nuntil the end")->body, "until the end");
  EXPECT_EQ(answered_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")->status,
            201);
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")->body, "ok");
  for (const char* broken : {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
                             "HTTP/1.1 100 Continue\r\n\r\n", "SSH-2.0-x\r\n\r\n"}) {
    const auto response = answered_with(broken);
    ASSERT_FALSE(response) << broken;
    EXPECT_EQ(response.error().code, base::Code::kUnavailable) << broken;
  }
}

}  // namespace
}  // namespace ebb::http::testing
