// Goal: precedence, decoding, 404 against 405, refused patterns. Method: a small table of routes asked through a real
// coroutine.
#include "http/router.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

namespace ebb::http {
namespace {

io::Task<Response> answer(std::string text) {
  Response response;
  response.body = std::move(text);
  co_return response;
}

class RouterTest : public testing::Test {
 protected:
  void SetUp() override {
    add("GET", "/", [](const PathParams&) { return std::string("root"); });
    add("GET", "/apps", [](const PathParams&) { return std::string("list"); });
    add("GET", "/apps/{app}", [](const PathParams& p) { return "app " + p["app"]; });
    add("PUT", "/apps/{app}", [](const PathParams& p) { return "put " + p["app"]; });
    add("GET", "/apps/special", [](const PathParams&) { return std::string("special"); });
    add("*", "/fn/{app}/{function}/{path...}",
        [](const PathParams& p) { return p["app"] + "|" + p["function"] + "|" + p["path"] + "|" + p.raw("path"); });
    add("GET", "/fn/{app}/{function}/status", [](const PathParams&) { return std::string("status"); });
  }
  void add(std::string method, std::string pattern, std::function<std::string(const PathParams&)> text) {
    const auto added = router_.add(std::move(method), std::move(pattern),
                                   [text](Request, PathParams params) { return answer(text(params)); });
    ASSERT_TRUE(added) << added.error().message;
  }
  Response ask(std::string method, std::string path) {
    Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    io::asio::io_context context;
    auto response = io::asio::co_spawn(context, router_.route(std::move(request)), io::asio::use_future);
    context.run();
    return response.get();
  }

  Router router_;
};

TEST_F(RouterTest, LiteralsBeatParametersBeatTheRest) {
  EXPECT_EQ(ask("GET", "/").body, "root");
  EXPECT_EQ(ask("GET", "/apps").body, "list");
  EXPECT_EQ(ask("GET", "/apps/x").body, "app x");
  EXPECT_EQ(ask("GET", "/apps/special").body, "special");
  EXPECT_EQ(ask("PUT", "/apps/special").body, "put special");
  EXPECT_EQ(ask("GET", "/fn/a/f/status").body, "status");
  EXPECT_EQ(ask("POST", "/fn/a/f/status").body, "a|f|status|status");
}

TEST_F(RouterTest, TheRestMayBeEmptyAndIsDecodedBesideItsRawForm) {
  EXPECT_EQ(ask("GET", "/fn/a/f").body, "a|f||");
  EXPECT_EQ(ask("GET", "/fn/a/f/").body, "a|f||");
  EXPECT_EQ(ask("DELETE", "/fn/a/f/x%20y/../z//").body, "a|f|x y/../z//|x%20y/../z//");
  EXPECT_EQ(ask("GET", "/fn/a%2Fb/f/").body, "a/b|f||");  // an encoded slash is no segment
}

TEST_F(RouterTest, UnknownPathsAndMethods) {
  for (const char* path : {"/nothing", "/apps/", "/apps/x/y", "/fn/a", "/Apps", ""}) {
    EXPECT_EQ(ask("GET", path).status, path[0] == '\0' ? 200 : 404) << path;
  }
  const Response refused = ask("DELETE", "/apps/x");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("allow"), "GET, PUT");
  EXPECT_EQ(ask("get", "/apps").status, 405);  // methods have a case
  EXPECT_EQ(ask("HEAD", "/apps").body, "list");
  EXPECT_EQ(ask("GET", "/apps/%zz").status, 400);
  EXPECT_EQ(ask("GET", "/apps/%00").status, 400);
}

TEST_F(RouterTest, RefusesPatternsAndDuplicates) {
  const RouteHandler handler = [](Request, PathParams) { return answer(""); };
  for (const char* bad : {"", "apps", "/{", "/{}", "/a{b}", "/{a}b", "/{...}", "/{a...}/b", "/{a}/{a}", "/}"}) {
    EXPECT_FALSE(router_.add("GET", bad, handler)) << bad;
  }
  const auto twice = router_.add("GET", "/apps/{other}", handler);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, base::Code::kConflict);
  EXPECT_EQ(router_.routes().size(), 7u);
  EXPECT_EQ(router_.routes()[3].method, "PUT");
  EXPECT_EQ(router_.routes()[3].pattern, "/apps/{app}");
}

}  // namespace
}  // namespace ebb::http
