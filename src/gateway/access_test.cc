// Who may do what, over HTTP: every route of the control plane without a key and with one of a wrong role or app; keys
// in headers of function calls. Method: the real server and client, a MemoryNode behind.
#include "gateway/access.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "gateway/memory_server.h"

namespace ebb::gateway {
namespace {

http::Headers bearer(const std::string& key) { return http::Headers{{"Authorization", "Bearer " + key}}; }

TEST(Access, EveryRouteButHealthAndUrlsTakesAKey) {
  MemoryServer server;
  int protected_routes = 0;
  for (const http::Route& route : server.gateway().routes()) {
    if (route.pattern.starts_with("/fn/")) continue;
    std::string path;
    bool inside = false;
    for (const char c : route.pattern) {
      if (c == '{') path += "1";
      inside = c == '{' || (inside && c != '}');
      if (!inside && c != '}') path += c;
    }
    const bool open = path == "/" || path == "/healthz" || path == "/readyz";
    const auto without = server.fetch(route.method, path, {}, http::Headers{{"Authorization", "Basic eDp5"}});
    EXPECT_EQ(without.status, open ? 200 : 401) << route.method << " " << path;
    if (open) continue;
    ++protected_routes;
    EXPECT_NE(without.headers.find("www-authenticate"), nullptr);
    EXPECT_NE(server.fetch(route.method, path).status, 401) << route.method << " " << path;
  }
  EXPECT_GE(protected_routes, 13);
  EXPECT_TRUE(server.node.calls.size() <= 1);
}

TEST(Access, KeysAreMadeUsedAndRevoked) {
  MemoryServer server;
  const auto made = server.fetch("POST", "/api/v1/keys", R"({"role":"read","app":"vision","label":"eyes"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.headers.get("cache-control"), "no-store");
  const boost::json::value answer = boost::json::parse(made.body);
  const std::string key(answer.at("key").as_string());
  const std::string id(answer.at("id").as_string());
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions", {}, bearer(key)).status, 200);
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions?app=vision", {}, bearer(key)).status, 200);
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions?app=other", {}, bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("GET", "/metrics", {}, bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("POST", "/api/v1/deployments", "x", bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("POST", "/api/v1/apps/vision/functions/f/invocations", "1", bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/keys/" + id, {}, bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("GET", "/api/v1/keys").body.find(key.substr(17)), std::string::npos);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/keys/" + id).status, 204);
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions", {}, bearer(key)).status, 401);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/keys/" + id).status, 404);
}

TEST(Access, AnAppsKeyUsesAndDeploysThatAppOnly) {
  MemoryServer server;
  const auto made = server.fetch("POST", "/api/v1/keys", R"({"role":"deploy","app":"vision"})");
  const std::string key(boost::json::parse(made.body).at("key").as_string());
  EXPECT_EQ(server.fetch("POST", "/api/v1/deployments", "archive", bearer(key)).status, 202);
  ASSERT_EQ(server.node.only_apps.size(), 1U);
  EXPECT_EQ(server.node.only_apps[0], "vision");
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/other", {}, bearer(key)).status, 403);
  EXPECT_EQ(server.fetch("GET", "/api/v1/usage", {}, bearer(key)).status, 200);
  ASSERT_EQ(server.node.usage_queries.size(), 1U);
  EXPECT_EQ(server.node.usage_queries[0].app, "vision");
  EXPECT_EQ(server.fetch("GET", "/api/v1/bill", {}, bearer(key)).status, 200);
  ASSERT_EQ(server.node.bill_queries.size(), 1U);
  EXPECT_EQ(server.node.bill_queries[0].app, "vision");
  for (const char* path :
       {"/api/v1/bill?app=other", "/api/v1/bill/explanation?app=other&function=f", "/api/v1/usage/records?app=other"}) {
    EXPECT_EQ(server.fetch("GET", path, {}, bearer(key)).status, 403) << path;
  }
  EXPECT_TRUE(server.node.removed.empty());
}

TEST(Access, FunctionsNeverSeeAKeyButTheirOwnTokens) {
  using KeyShown = node::Call::KeyShown;
  MemoryServer server;
  const std::string& admin = MemoryServer::admin().text;
  const auto shown = [&](http::Headers headers) {
    server.fetch("GET", "/fn/a/f", {}, std::move(headers));
    return server.node.calls.back();
  };
  EXPECT_EQ(shown({}).key_shown, KeyShown::kNone);
  const node::Call own = shown(bearer("my-jwt"));
  EXPECT_EQ(own.key_shown, KeyShown::kNone);
  EXPECT_NE(own.event_of(own).find("my-jwt"), std::string::npos);
  const node::Call granted = shown(bearer(admin));
  EXPECT_EQ(granted.key_shown, KeyShown::kGranted);
  EXPECT_EQ(granted.event_of(granted).find("ebb_"), std::string::npos);
  EXPECT_EQ(granted.event_of(granted).find("authorization"), std::string::npos);
  const node::Call both = shown(http::Headers{{"Authorization", "Bearer my-jwt"}, {"x-ebb-KEY", admin}});
  EXPECT_EQ(both.key_shown, KeyShown::kGranted);
  EXPECT_NE(both.event_of(both).find("my-jwt"), std::string::npos);
  EXPECT_EQ(both.event_of(both).find("ebb_"), std::string::npos);
  EXPECT_EQ(shown(http::Headers{{"X-Ebb-Key", "x"}}).key_shown, KeyShown::kUnknown);
}

TEST(Access, AStrangersUploadIsRefusedBeforeItsBody) {
  MemoryServer server;
  // Larger than the server would take of anybody: the refusal is about the key, so the body was never looked at.
  const auto refused = server.fetch("POST", "/api/v1/deployments", std::string(2 << 20, 'x'),
                                    http::Headers{{"Authorization", "Bearer ebb_"}});
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(server.node.archives.empty());
}

TEST(Access, MalformedKeyRequestsAreRefused) {
  MemoryServer server;
  for (const char* body : {"", "{", "[]", R"({"role":"root"})", R"({"role":"admin","app":"a"})", R"({"role":1})",
                           R"({"role":"read","labl":"x"})", R"({"role":"read","label":"a\nb"})"}) {
    EXPECT_EQ(server.fetch("POST", "/api/v1/keys", body).status, 400) << body;
  }
  EXPECT_EQ(server.fetch("POST", "/api/v1/keys", std::string(100'000, ' ')).status, 413);
  EXPECT_EQ(server.node.keys.size(), 1U);
}

}  // namespace
}  // namespace ebb::gateway
