// Who may do what, over HTTP: every route of the control plane without a key and with one of a wrong role or app; keys
// in headers of function calls. Method: the real server and client, a MemoryNode behind.
#include "gateway/access.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "base/limits.h"
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

TEST(Access, ToAnOrganisationsKeyWhatIsOutsideIsNotThere) {
  MemoryServer server;
  server.node.owners = {{"vision", "acme"}, {"other", "default"}};
  const auto made = server.fetch("POST", "/api/v1/keys", R"({"role":"admin","organisation":"acme"})");
  ASSERT_EQ(made.status, 201) << made.body;
  const std::string key(boost::json::parse(made.body).at("key").as_string());
  const auto ask = [&](const char* method, std::string path, std::string body = {}) {
    return server.fetch(method, path, std::move(body), bearer(key));
  };
  EXPECT_EQ(ask("GET", "/api/v1/functions?app=vision").status, 200);
  EXPECT_EQ(ask("POST", "/api/v1/apps/vision/functions/f/invocations", "1").status, 200);
  // The same answer, to the letter, for an app of others and for one that nobody has.
  struct Question {
    const char* method;
    std::string before;
    std::string after;
  };
  for (const Question& one :
       {Question{"GET", "/api/v1/functions?app=", ""}, Question{"GET", "/api/v1/logs?app=", ""},
        Question{"GET", "/api/v1/usage?app=", ""}, Question{"GET", "/api/v1/usage/records?app=", ""},
        Question{"GET", "/api/v1/bill?app=", ""}, Question{"GET", "/api/v1/bill/explanation?function=f&app=", ""},
        Question{"GET", "/api/v1/apps/", "/secrets"}, Question{"DELETE", "/api/v1/apps/", "/secrets/token"},
        Question{"DELETE", "/api/v1/apps/", ""}, Question{"DELETE", "/api/v1/apps/", "/functions/f"},
        Question{"DELETE", "/api/v1/apps/", "/functions/f/versions/1"},
        Question{"POST", "/api/v1/apps/", "/functions/f/versions"},
        Question{"POST", "/api/v1/apps/", "/functions/f/invocations"}}) {
    const auto others = ask(one.method, one.before + "other" + one.after, "{}");
    const auto nobodys = ask(one.method, one.before + "nobod" + one.after, "{}");
    EXPECT_EQ(others.status, 404) << one.method << one.before << others.body;
    std::string expected(boost::json::parse(nobodys.body).at("error").at("message").as_string());
    if (const auto at = expected.find("nobod"); at != std::string::npos) expected.replace(at, 5, "other");
    EXPECT_EQ(boost::json::parse(others.body).at("error").at("message").as_string(), expected) << one.before;
  }
  EXPECT_TRUE(server.node.removed.empty());
  for (const char* path : {"/api/v1/bill?organisation=default", "/api/v1/usage/records?organisation=nobody"})
    EXPECT_EQ(ask("GET", path).status, 404) << path;
  EXPECT_EQ(ask("POST", "/api/v1/deployments?organisation=default", "archive").status, 404);
  EXPECT_EQ(ask("POST", "/api/v1/deployments", "archive").status, 202);
  EXPECT_EQ(server.node.organisations_asked, std::vector<std::string>{"acme"});
  EXPECT_EQ(ask("PUT", "/api/v1/apps/other/secrets/token", R"({"value":"x"})").status, 409);
  EXPECT_EQ(ask("PUT", "/api/v1/apps/fresh/secrets/token", R"({"value":"x"})").status, 204);
  EXPECT_EQ(server.node.owners["fresh"], "acme");
}

TEST(Access, AnOrganisationsAdminMakesKeysOfItAndNothingOfTheNode) {
  MemoryServer server;
  server.node.owners = {{"vision", "acme"}, {"other", "default"}};
  server.node.made_organisations = {"acme", "default"};
  const auto made = server.fetch("POST", "/api/v1/keys", R"({"role":"admin","organisation":"acme"})");
  const std::string key(boost::json::parse(made.body).at("key").as_string());
  const auto ask = [&](const char* method, std::string path, std::string body = {}) {
    return server.fetch(method, path, std::move(body), bearer(key));
  };
  const char* const node_alone[][2] = {{"GET", "/api/v1/ledger"},
                                       {"POST", "/api/v1/ledger/rebuild"},
                                       {"PUT", "/api/v1/apps/vision/budget"},
                                       {"DELETE", "/api/v1/apps/vision/budget"},
                                       {"PUT", "/api/v1/apps/vision/quota"},
                                       {"DELETE", "/api/v1/apps/vision/quota"},
                                       {"PUT", "/api/v1/organisations/acme/budget"},
                                       {"DELETE", "/api/v1/organisations/acme/quota"},
                                       {"PUT", "/api/v1/organisations/acme/webhook"},
                                       {"DELETE", "/api/v1/organisations/acme/webhook"},
                                       {"PUT", "/api/v1/organisations/mine"},
                                       {"DELETE", "/api/v1/organisations/acme"},
                                       {"PUT", "/api/v1/apps/other/organisation"},
                                       {"GET", "/metrics"}};
  for (const auto& [method, path] : node_alone) EXPECT_EQ(ask(method, path, "{}").status, 403) << method << path;
  EXPECT_EQ(ask("POST", "/api/v1/keys", R"({"role":"read","organisation":"default"})").status, 404);
  EXPECT_EQ(ask("POST", "/api/v1/keys", R"({"role":"read","app":"other"})").status, 409);
  const auto of_app = ask("POST", "/api/v1/keys", R"({"role":"read","app":"vision"})");
  const auto of_all = ask("POST", "/api/v1/keys", R"({"role":"read"})");
  ASSERT_EQ(of_app.status, 201);
  ASSERT_EQ(of_all.status, 201);
  EXPECT_EQ(boost::json::parse(of_all.body).at("organisation").as_string(), "acme");
  const auto others = server.fetch("POST", "/api/v1/keys", R"({"role":"read","app":"other"})");
  const std::string others_id(boost::json::parse(others.body).at("id").as_string());
  const auto listed = boost::json::parse(ask("GET", "/api/v1/keys").body);
  EXPECT_EQ(listed.at("keys").as_array().size(), 3U);
  const auto refused = ask("DELETE", "/api/v1/keys/" + others_id);
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/keys/" + others_id).status, 204) << "it was left alone";
  EXPECT_EQ(ask("DELETE", "/api/v1/keys/" + MemoryServer::admin().key.id).status, 404);
  for (const char* of : {"organisations/acme", "organisations/default", "apps/vision", "apps/other"}) {
    const std::string path = std::string("/api/v1/") + of + "/quota";
    ASSERT_EQ(server.fetch("PUT", path, R"({"calls_at_once":"3"})").status, 204) << path;
  }
  const auto quotas = boost::json::parse(ask("GET", "/api/v1/quotas").body);
  ASSERT_EQ(quotas.at("quotas").as_array().size(), 2U);
  EXPECT_EQ(quotas.at("quotas").as_array()[0].at("app").as_string(), "vision");
  EXPECT_EQ(quotas.at("quotas").as_array()[1].at("organisation").as_string(), "acme");
  for (const char* of : {"acme", "default"}) {
    const std::string path = std::string("/api/v1/organisations/") + of + "/webhook";
    ASSERT_EQ(server.fetch("PUT", path, R"({"url":"http://h/"})").status, 200) << path;
    EXPECT_EQ(server.fetch("PUT", path, R"({"url":"http://h/","usage":"maybe"})").status, 400);
  }
  const auto hooks = boost::json::parse(ask("GET", "/api/v1/webhooks").body).at("webhooks").as_array();
  ASSERT_EQ(hooks.size(), 1U);
  EXPECT_EQ(hooks[0].at("organisation").as_string(), "acme");
  EXPECT_EQ(server.fetch("GET", "/api/v1/bill?organisation=acme").status, 200);
  EXPECT_EQ(server.fetch("GET", "/api/v1/bill?organisation=nobody").status, 404);
  const auto seen = boost::json::parse(ask("GET", "/api/v1/organisations").body);
  ASSERT_EQ(seen.at("organisations").as_array().size(), 1U);
  EXPECT_EQ(seen.at("organisations").as_array()[0].at("name").as_string(), "acme");
}

TEST(Access, AsynchronousCallsAreThoseOfTheirAppOnly) {
  MemoryServer server;
  server.node.owners = {{"vision", "acme"}, {"other", "default"}};
  server.node.made_organisations.push_back("acme");
  const auto key_of = [&](const std::string& body) {
    const auto made = server.fetch("POST", "/api/v1/keys", body);
    return std::string(boost::json::parse(made.body).at("key").as_string());
  };
  const std::string invoke = "/functions/f/invocations?async=true";
  ASSERT_EQ(server.fetch("POST", "/api/v1/apps/vision" + invoke, "secret").status, 202);
  ASSERT_EQ(server.fetch("POST", "/api/v1/apps/other" + invoke, "secret").status, 202);
  const std::string its = "/api/v1/calls/" + base::to_string(server.node.kept.at(0).call.id);
  const std::string others = "/api/v1/calls/" + base::to_string(server.node.kept.at(1).call.id);
  for (const char* scope : {R"("app":"vision")", R"("organisation":"acme")"}) {
    const std::string key = key_of(std::string(R"({"role":"deploy",)") + scope + "}");
    const auto fetch = [&](const char* method, const std::string& path) {
      return server.fetch(method, path, {}, bearer(key));
    };
    EXPECT_EQ(boost::json::parse(fetch("GET", "/api/v1/calls").body).at("calls").as_array().size(), 1U) << scope;
    EXPECT_EQ(fetch("GET", its).status, 200) << scope;
    EXPECT_EQ(fetch("GET", its + "/event").body, "secret") << scope;
    EXPECT_EQ(fetch("GET", others).status, 404) << scope << ": as if it were not there";
    EXPECT_EQ(fetch("GET", others + "/event").status, 404) << scope;
    EXPECT_EQ(fetch("POST", others + "/retry").status, 404) << scope;
    EXPECT_EQ(fetch("DELETE", others).status, 404) << scope;
  }
  const std::string reads = key_of(R"({"role":"read","app":"vision"})");
  EXPECT_EQ(server.fetch("GET", its, {}, bearer(reads)).status, 200);
  EXPECT_EQ(server.fetch("GET", its + "/event", {}, bearer(reads)).status, 403);
  EXPECT_EQ(server.fetch("POST", its + "/retry", {}, bearer(reads)).status, 403);
  EXPECT_EQ(server.fetch("DELETE", its, {}, bearer(reads)).status, 403);
  EXPECT_EQ(server.fetch("POST", "/api/v1/apps/vision" + invoke, "x", bearer(reads)).status, 403);
  const std::string invokes = key_of(R"({"role":"invoke","app":"vision"})");
  EXPECT_EQ(server.fetch("POST", "/api/v1/apps/vision" + invoke, "x", bearer(invokes)).status, 202);
  EXPECT_EQ(server.fetch("POST", "/api/v1/apps/other" + invoke, "x", bearer(invokes)).status, 403);
  EXPECT_EQ(server.fetch("GET", its, {}, bearer(invokes)).status, 403);
  EXPECT_EQ(server.node.kept.size(), 3U) << "nothing was removed";
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
  const node::Call forged = shown(http::Headers{{"X_Ebb_Timer", "x"}, {"x-ebb_timer-due", "x"}, {"X_Ebb", "stays"}});
  EXPECT_EQ(forged.request.headers.count("X_Ebb_Timer") + forged.request.headers.count("x-ebb_timer-due"), 0U)
      << "CGI and Rack know no difference between - and _";
  EXPECT_EQ(forged.request.headers.count("X_Ebb"), 1U);
}

TEST(Access, AStrangersUploadIsRefusedBeforeItsBody) {
  MemoryServer server;
  // Larger than the server would take of anybody: the refusal is about the key, so the body was never looked at.
  const auto refused = server.fetch("POST", "/api/v1/deployments", std::string(2 << 20, 'x'),
                                    http::Headers{{"Authorization", "Bearer ebb_"}});
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(server.node.archives.empty());
}

TEST(Access, AnUploadIsReadForAKeyThatMayDeployOnly) {
  MemoryServer server;
  server.node.deploy_answer = std::uint64_t{1};
  for (const auto& [role, status] : {std::pair{"deploy", 202}, std::pair{"invoke", 403}, std::pair{"read", 403}}) {
    const auto made = server.fetch("POST", "/api/v1/keys", R"({"app":"a","role":")" + std::string(role) + "\"}");
    const std::string key(boost::json::parse(made.body).at("key").as_string());
    // Larger than the server would take of anybody, where it is refused: it was not read.
    const std::size_t size = status == 202 ? 100'000 : limits::kPackageUploadBytes + 1;
    EXPECT_EQ(server.fetch("POST", "/api/v1/deployments", std::string(size, 'x'), bearer(key)).status, status) << role;
  }
  EXPECT_EQ(server.node.archives.size(), 1U);
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
