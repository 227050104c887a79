// Goal: heads are read strictly: every form two implementations could read differently is refused. Method: tables of
// heads.
#include "http/head.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace ebb::http {
namespace {

constexpr std::size_t kTarget = 64;

Parsed<RequestHead> parse(std::string_view head) { return parse_request_head(head, kTarget); }

TEST(HeadScanner, FindsTheEndInPieces) {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
  const std::size_t size = bytes.size() - 4;
  HeadScanner scanner;
  for (std::size_t seen = 1; seen < size; ++seen) {
    const auto found = scanner.scan(std::string_view(bytes).substr(0, seen));
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, 0u) << seen;
    EXPECT_EQ(scanner.past_first_line(), seen >= 16);
  }
  EXPECT_EQ(*scanner.scan(std::string_view(bytes).substr(0, size)), size);
  scanner.reset();
  EXPECT_EQ(*scanner.scan(bytes), size);
}

TEST(HeadScanner, RefusesBareLineFeeds) {
  for (const char* bad : {"\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: x\n\n", "GET / HTTP/1.1\r\n\n"}) {
    HeadScanner scanner;
    EXPECT_FALSE(scanner.scan(bad)) << bad;
  }
}

TEST(RequestHead, ReadsALine) {
  const auto head = parse("POST /a%20b/c?x=1&y=?2 HTTP/1.1\r\nHost: h\r\nX-Y:  v w \t\r\nContent-Length: 12\r\n\r\n");
  ASSERT_TRUE(head) << head.error().error.message;
  EXPECT_EQ(head->request.method, "POST");
  EXPECT_EQ(head->request.target, "/a%20b/c?x=1&y=?2");
  EXPECT_EQ(head->request.path, "/a%20b/c");
  EXPECT_EQ(head->request.query, "x=1&y=?2");
  EXPECT_EQ(head->request.headers.get("x-y"), "v w");
  EXPECT_EQ(head->framing, Framing::kLength);
  EXPECT_EQ(head->content_length, 12u);
  EXPECT_TRUE(head->keep_alive);
  EXPECT_FALSE(head->expects_continue);
}

TEST(RequestHead, FormsOfTheTarget) {
  const auto path = [](std::string_view line) {
    const auto head = parse(std::string(line) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    return head ? head->request.path : "refused " + std::to_string(head.error().status);
  };
  EXPECT_EQ(path("GET http://host:80/x?q"), "/x");
  EXPECT_EQ(path("GET http://host"), "/");
  EXPECT_EQ(path("GET http://host?q"), "/");
  EXPECT_EQ(path("OPTIONS *"), "*");
  EXPECT_EQ(path("GET *"), "refused 400");
  EXPECT_EQ(path("GET x"), "refused 400");
  EXPECT_EQ(path("GET "), "refused 400");
  EXPECT_EQ(path("CONNECT host:80"), "refused 501");
  EXPECT_EQ(path("GET /\xc3\xa4"), "/\xc3\xa4");
  EXPECT_EQ(path("GET /" + std::string(kTarget - 1, 'a')), "/" + std::string(kTarget - 1, 'a'));
  EXPECT_EQ(path("GET /" + std::string(kTarget, 'a')), "refused 414");
}

TEST(RequestHead, KeepAliveAndVersions) {
  const auto keeps = [](std::string_view version, std::string_view connection) {
    return parse("GET / HTTP/" + std::string(version) + "\r\nHost: h\r\nConnection: " + std::string(connection) +
                 "\r\n\r\n")
        ->keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", "x"));
  EXPECT_FALSE(keeps("1.1", "Close"));
  EXPECT_FALSE(keeps("1.0", "x"));
  EXPECT_TRUE(keeps("1.0", "Keep-Alive"));
  EXPECT_FALSE(keeps("1.0", "keep-alive, close"));
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n"));  // without Host
}

struct Bad {
  const char* head;
  int status;
};

TEST(RequestHead, RefusesWhatIsMalformedOrAmbiguous) {
  const Bad table[] = {
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
      {"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1x\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x0b\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0b"
       "chunked\r\n\r\n",
       400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n", 417},
  };
  for (const Bad& bad : table) {
    const auto head = parse(bad.head);
    ASSERT_FALSE(head) << bad.head;
    EXPECT_EQ(head.error().status, bad.status) << bad.head;
  }
  EXPECT_FALSE(parse(std::string_view("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 35)));
}

TEST(RequestHead, CountsHeaders) {
  const auto with = [](std::size_t count) {
    std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (std::size_t i = 1; i < count; ++i) head += "A: b\r\n";
    return head + "\r\n";
  };
  EXPECT_TRUE(parse(with(limits::kHttpHeaders)));
  const auto over = parse(with(limits::kHttpHeaders + 1));
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().status, 431);
}

TEST(ResponseHeadParse, FramingFollowsStatusAndMethod) {
  const auto framing = [](std::string_view head, std::string_view method) {
    return parse_response_head(head, method)->framing;
  };
  const std::string sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
  EXPECT_EQ(framing(sized, "GET"), Framing::kLength);
  EXPECT_EQ(framing(sized, "HEAD"), Framing::kNone);
  EXPECT_EQ(framing("HTTP/1.1 204 \r\n\r\n", "GET"), Framing::kNone);
  EXPECT_EQ(framing("HTTP/1.1 100 Continue\r\n\r\n", "POST"), Framing::kNone);
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET"), Framing::kChunked);
  EXPECT_EQ(framing("HTTP/1.0 200 OK\r\n\r\n", "GET"), Framing::kUntilClose);
  for (const char* bad :
       {"HTTP/1.1\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 020 OK\r\n\r\n", "SSH-2.0\r\n\r\n"}) {
    EXPECT_FALSE(parse_response_head(bad, "GET")) << bad;
  }
}

}  // namespace
}  // namespace ebb::http
