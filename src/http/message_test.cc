// Goal: headers, lists, escapes, and errors as responses. Method: tables of values.
#include "http/message.h"

#include <gtest/gtest.h>

#include "http/error_response.h"
#include "http/response_head.h"

namespace ebb::http {
namespace {

TEST(Headers, NamesIgnoreCaseAndOrderIsKept) {
  Headers headers{{"Accept", "a"}, {"X-One", "1"}, {"accept", "b"}};
  EXPECT_EQ(headers.get("ACCEPT"), "a");
  EXPECT_EQ(headers.count("Accept"), 2u);
  EXPECT_EQ(headers.find("x-on"), nullptr);
  EXPECT_EQ(headers.get("missing", "fallback"), "fallback");
  headers.set("aCCept", "c");
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.begin()->name, "X-One");
  EXPECT_EQ(headers.get("accept"), "c");
  headers.remove("x-ONE");
  EXPECT_EQ(headers.size(), 1u);
}

TEST(Headers, WhatMayNotStandInThem) {
  EXPECT_TRUE(is_header_name("X-Request-Id"));
  for (const char* bad : {"", "a b", "a:", "a\r\nb", "\xc3\xa4"}) EXPECT_FALSE(is_header_name(bad)) << bad;
  EXPECT_TRUE(is_header_value("text/html; charset=utf-8\t\xc3\xa4"));
  EXPECT_TRUE(is_header_value(""));
  EXPECT_FALSE(is_header_value("a\r\nSet-Cookie: x"));
  EXPECT_FALSE(is_header_value(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_header_value("\x7f"));
}

TEST(Headers, TokensOfAList) {
  EXPECT_TRUE(has_token("keep-alive, Close", "close"));
  EXPECT_TRUE(has_token("  close\t", "close"));
  EXPECT_FALSE(has_token("closed,, not close", "close"));
  EXPECT_FALSE(has_token("", "close"));
}

TEST(PercentDecode, EscapesAndTheirBoundaries) {
  EXPECT_EQ(*percent_decode("a%20b%2Fc+d"), "a b/c+d");
  EXPECT_EQ(*percent_decode("%41"), "A");
  EXPECT_EQ(*percent_decode("%ff"), "\xff");
  EXPECT_EQ(*percent_decode(""), "");
  for (const char* bad : {"%", "%4", "a%4", "%zz", "%4g", "%00"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(ErrorResponse, StatusCodeMessageAndRequestId) {
  const Response response = error_response(base::not_found("app \"x\"\n\xff"), "01J");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.get("content-type"), "application/json");
  EXPECT_EQ(
      response.body,
      "{\"error\":{\"code\":\"not_found\",\"message\":\"app \\\"x\\\"\\u000a\xef\xbf\xbd\",\"request_id\":\"01J\"}}\n");
  EXPECT_EQ(response.headers.find("retry-after"), nullptr);
  EXPECT_EQ(error_response(base::internal("x")).body.find("request_id"), std::string::npos);
}

TEST(ErrorResponse, RetryAfterIsWholeSecondsRoundedUp) {
  using namespace std::chrono_literals;
  base::Error error{.code = base::Code::kResourceExhausted, .message = "full"};
  EXPECT_EQ(error_response(error).headers.get("retry-after"), "1");
  error.retry_after = 0ms;
  EXPECT_EQ(error_response(error).headers.get("retry-after"), "1");
  error.retry_after = 2001ms;
  EXPECT_EQ(error_response(error).headers.get("retry-after"), "3");
  error.retry_after = 2000ms;
  EXPECT_EQ(error_response(error).headers.get("retry-after"), "2");
}

TEST(ErrorResponse, JsonKeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_EQ(json_quoted("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
  EXPECT_EQ(json_quoted("\xc3"), "\"\xef\xbf\xbd\"");
  EXPECT_EQ(json_quoted("\xc0\xafx"), "\"\xef\xbf\xbd\xef\xbf\xbdx\"");                // overlong
  EXPECT_EQ(json_quoted("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");  // a surrogate
  EXPECT_EQ(json_quoted("\\\x01"), "\"\\\\\\u0001\"");
}

TEST(ResponseHead, FramingIsTheServersOwn) {
  Response response;
  response.status = 201;
  response.headers = {{"Content-Length", "9"}, {"connection", "close"}, {"Transfer-Encoding", "x"}, {"X-A", "b"}};
  response.body = "four";
  std::string head;
  append_response_head(head, response, ResponseForm());
  EXPECT_EQ(head, "HTTP/1.1 201 Created\r\nServer: ebb\r\nDate: " + std::string(http_date()) +
                      "\r\nX-A: b\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(http_date().size(), std::string_view("Sun, 06 Nov 1994 08:49:37 GMT").size());
}

}  // namespace
}  // namespace ebb::http
