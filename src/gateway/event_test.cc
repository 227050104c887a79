// The event of an HTTP call, byte for byte, and for what hostile clients send: always valid JSON, always valid UTF-8.
#include "gateway/event.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "gateway/answer.h"

namespace ebb::gateway {
namespace {

constexpr const char* kId = "01JDABCDEFGHJKMNPQRSTVWXYZ";

constexpr base::WallTime kNow{std::chrono::milliseconds(1795382514123)};  // 2026-11-22T21:21:54.123Z

// A GET of "/" without parameters, as long as nothing else is said.
node::Call call_of(std::string path = "/", std::string query = "") {
  node::Call call{.id = *base::parse_invocation_id(kId), .app = "vision", .function = "digits"};
  call.request.method = "GET";
  call.request.path = std::move(path);
  call.request.query = std::move(query);
  call.request.peer_address = "127.0.0.1";
  return call;
}

boost::json::object parsed(const std::string& event) {
  boost::system::error_code failed;
  auto value = boost::json::parse(event, failed);  // refuses invalid UTF-8 too
  EXPECT_FALSE(failed) << failed.message() << "\n" << event;
  return failed ? boost::json::object() : value.as_object();
}

TEST(Event, OfASimpleGet) {
  node::Call call = call_of();
  call.request.headers.add("Host", "ebb.example.org");
  call.request.headers.add("User-Agent", "curl/8");
  EXPECT_EQ(
      http_event(call, kNow),
      R"({"version":"2.0","routeKey":"$default","rawPath":"/","rawQueryString":"",)"
      R"("headers":{"host":"ebb.example.org","user-agent":"curl/8"},)"
      R"("requestContext":{"accountId":"anonymous","apiId":"vision.digits","domainName":"ebb.example.org",)"
      R"("domainPrefix":"ebb","http":{"method":"GET","path":"/","protocol":"HTTP/1.1","sourceIp":"127.0.0.1",)"
      R"("userAgent":"curl/8"},"requestId":"01JDABCDEFGHJKMNPQRSTVWXYZ","routeKey":"$default","stage":"$default",)"
      R"("time":"22/Nov/2026:21:21:54 +0000","timeEpoch":1795382514123}})");
}

TEST(Event, OfAClientBehindATrustedProxy) {
  node::Call call = call_of();
  call.request.headers.add("Host", "inner:8080");
  call.forwarded = {.client = "192.0.2.7", .host = "shop.example:8443"};
  const boost::json::object told = parsed(http_event(call, kNow)).at("requestContext").as_object();
  EXPECT_EQ(told.at("http").at("sourceIp").as_string(), "192.0.2.7");
  EXPECT_EQ(told.at("domainName").as_string(), "shop.example:8443");
  EXPECT_EQ(told.at("domainPrefix").as_string(), "shop");
}

TEST(Event, OfAPostWithQueryCookiesAndRepeatedHeaders) {
  node::Call call = call_of("/a%2Fb/c", "tag=a&tag=b%20c&empty=&flag&x=1+2");
  call.request.method = "POST";
  call.request.version = 10;
  call.request.headers.add("X-List", "one");
  call.request.headers.add("Host", "127.0.0.1:8080");
  call.request.headers.add("Cookie", "a=1; b=\"2\"");
  call.request.headers.add("x-list", "two, three");
  call.request.headers.add("COOKIE", "c=3;");
  EXPECT_EQ(
      http_event(call, kNow),
      R"({"version":"2.0","routeKey":"$default","rawPath":"/a%2Fb/c","rawQueryString":"tag=a&tag=b%20c&empty=&flag&x=1+2",)"
      R"("cookies":["a=1","b=\"2\"","c=3"],)"
      R"("headers":{"host":"127.0.0.1:8080","x-list":"one,two, three"},)"
      R"("queryStringParameters":{"empty":"","flag":"","tag":"a,b c","x":"1 2"},)"
      R"("requestContext":{"accountId":"anonymous","apiId":"vision.digits","domainName":"127.0.0.1:8080",)"
      R"("domainPrefix":"127","http":{"method":"POST","path":"/a%2Fb/c","protocol":"HTTP/1.0","sourceIp":"127.0.0.1",)"
      R"("userAgent":""},"requestId":"01JDABCDEFGHJKMNPQRSTVWXYZ","routeKey":"$default","stage":"$default",)"
      R"("time":"22/Nov/2026:21:21:54 +0000","timeEpoch":1795382514123}})");
}

TEST(Event, BytesThatAreNoUtf8AreReplaced) {
  node::Call call = call_of("/p\xff", "bytes=%FF%FE&ok=%C3%A9&\xff=\xc3\x28");
  call.request.headers.add("X-Raw", "caf\xe9 \xed\xa0\x80 \xf0\x9f\x98\x80");
  const auto event = parsed(http_event(call, kNow));
  EXPECT_EQ(event.at("rawPath").as_string(), "/p\xef\xbf\xbd");
  const auto& query = event.at("queryStringParameters").as_object();
  EXPECT_EQ(query.at("bytes").as_string(), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(query.at("ok").as_string(), "\xc3\xa9");
  EXPECT_EQ(query.at("\xef\xbf\xbd").as_string(), "\xef\xbf\xbd(");
  const std::string raw(event.at("headers").as_object().at("x-raw").as_string());
  EXPECT_EQ(raw.substr(0, 6), "caf\xef\xbf\xbd");
  EXPECT_EQ(raw.substr(raw.size() - 4), "\xf0\x9f\x98\x80");
}

TEST(Event, QuotesControlCharactersAndKeysThatLookLikeJson) {
  node::Call call = call_of("/\"},\"version\":\"3", "\"}=%00&a%22%0A=%22%7D,%22version%22:%223&broken=%zz&half=%4");
  call.request.headers.add("x-quote\"", "va\"lue\\\t\x01");
  const auto event = parsed(http_event(call, kNow));
  EXPECT_EQ(event.at("version").as_string(), "2.0");
  EXPECT_EQ(event.at("rawPath").as_string(), "/\"},\"version\":\"3");
  const auto& query = event.at("queryStringParameters").as_object();
  EXPECT_EQ(query.at("\"}").as_string(), "%00");  // an encoded zero byte stays as it was
  EXPECT_EQ(query.at("a\"\n").as_string(), "\"},\"version\":\"3");
  EXPECT_EQ(query.at("broken").as_string(), "%zz");
  EXPECT_EQ(query.at("half").as_string(), "%4");
  EXPECT_EQ(event.at("headers").as_object().at("x-quote\"").as_string(), "va\"lue\\\t\x01");
}

TEST(Event, WithoutHostUserAgentOrParametersHasEmptyTexts) {
  node::Call call = call_of("/", "&&");
  call.request.headers.add("cookie", " ; ;");
  const auto event = parsed(http_event(call, kNow));
  EXPECT_FALSE(event.contains("cookies"));
  EXPECT_FALSE(event.contains("queryStringParameters"));
  EXPECT_EQ(boost::json::serialize(event.at("headers")), "{}");
  EXPECT_EQ(event.at("requestContext").at("domainPrefix").as_string(), "");
}

TEST(ServerTiming, InMillisecondsWithoutNeedlessZeros) {
  using namespace std::chrono_literals;
  node::Phases phases{.queue = 12us, .start = 1900us, .init = 0ns, .handler = 800500ns};
  phases.rung = model::Rung::kFork;
  EXPECT_EQ(server_timing(phases, 2800ms),
            R"(queue;dur=0.012, start;dur=1.9;desc="fork", init;dur=0, handler;dur=0.8, total;dur=2800)");
  phases.handler = 1001us;
  phases.queue = -5ms;  // clocks of two threads: never negative outside
  EXPECT_EQ(server_timing(phases, 1us),
            R"(queue;dur=0, start;dur=1.9;desc="fork", init;dur=0, handler;dur=1.001, total;dur=0.001)");
}

TEST(Answer, KeepsTheFunctionsOwnAndAddsOurs) {
  node::Reply reply{.status = 201, .body = "made", .version_number = 7};
  reply.headers.add("Content-Type", "text/plain");
  const auto id = *base::parse_invocation_id(kId);
  const http::Response response = answer_of(std::move(reply), id, base::Duration(0));
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "made");
  EXPECT_EQ(response.headers.get("content-type"), "text/plain");
  EXPECT_EQ(response.headers.get("x-ebb-request-id"), kId);
  EXPECT_EQ(response.headers.get("x-ebb-version"), "7");
  EXPECT_FALSE(response.headers.get("server-timing").empty());
}

TEST(Answer, OfAnErrorHasItsStatusAndRetryAfterAndNoBodyOfTheFunction) {
  node::Reply reply{.status = 200, .body = "half an answer"};
  reply.error = base::Error{.code = base::Code::kResourceExhausted, .message = "queue is \"full\""};
  reply.error->retry_after = std::chrono::milliseconds(1500);
  const http::Response response = answer_of(std::move(reply), *base::parse_invocation_id(kId), base::Duration(0));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.get("retry-after"), "2");
  EXPECT_EQ(response.headers.count("x-ebb-version"), 0U);  // none was chosen
  EXPECT_EQ(response.body,
            "{\"error\":{\"code\":\"resource_exhausted\",\"message\":\"queue is \\\"full\\\"\",\"request_id\":\"" +
                std::string(kId) + "\"}}\n");
}

}  // namespace
}  // namespace ebb::gateway
