// The gateway over HTTP: every route, what reaches the node, what comes back, and how wrong requests are refused.
// Method: the real server and client on the loopback, a MemoryNode behind.
#include "gateway/gateway.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "base/limits.h"
#include "gateway/memory_server.h"
#include "gateway/query.h"

namespace ebb::gateway {
namespace {

boost::json::value parsed(const std::string& text) {
  boost::system::error_code failed;
  auto value = boost::json::parse(text, failed);
  EXPECT_FALSE(failed) << failed.message() << ": " << text;
  return value;
}

std::string code_of(const http::ClientResponse& response) {
  const auto value = parsed(response.body);
  const auto* error = value.is_object() ? value.as_object().if_contains("error") : nullptr;
  return error == nullptr ? "" : std::string(error->at("code").as_string());
}

std::string message_of(const http::ClientResponse& response) {
  return std::string(parsed(response.body).at("error").at("message").as_string());
}

TEST(FunctionUrl, GivesTheNodeTheEventAndTheBodyAndReturnsItsReply) {
  MemoryServer server;
  server.node.on_invoke = [](const node::Call&) {
    node::Reply reply{.status = 418, .body = "short and stout", .version_number = 3};
    reply.headers.add("Content-Type", "text/tea");
    reply.headers.add("Set-Cookie", "a=1");
    reply.headers.add("Set-Cookie", "b=2");
    return reply;
  };
  const auto response = server.fetch("PUT", "/fn/vision/digits:3/a%2Fb/?x=1", std::string("\0body", 5));
  EXPECT_EQ(response.status, 418);
  EXPECT_EQ(response.body, "short and stout");
  EXPECT_EQ(response.headers.get("content-type"), "text/tea");
  EXPECT_EQ(response.headers.count("set-cookie"), 2U);
  EXPECT_EQ(response.headers.get("x-ebb-version"), "3");
  ASSERT_EQ(server.node.calls.size(), 1U);
  const node::Call& call = server.node.calls[0];
  EXPECT_EQ(response.headers.get("x-ebb-request-id"), base::to_string(call.id));
  EXPECT_EQ(call.kind, node::Call::Kind::kHttp);
  EXPECT_EQ(call.app, "vision");
  EXPECT_EQ(call.function, "digits");
  EXPECT_EQ(call.version_number, 3U);
  EXPECT_EQ(call.body, std::string("\0body", 5));
  const auto event = parsed(call.event_of(call));
  EXPECT_EQ(event.at("rawPath").as_string(), "/a%2Fb/");
  EXPECT_EQ(event.at("rawQueryString").as_string(), "x=1");
  EXPECT_EQ(event.at("requestContext").at("http").at("method").as_string(), "PUT");
  EXPECT_EQ(event.at("requestContext").at("requestId").as_string(), base::to_string(call.id));
}

TEST(FunctionUrl, PathBehindTheFunctionBeginsWithASlash) {
  const std::map<std::string, std::string> paths = {
      {"/fn/a/f", "/"}, {"/fn/a/f/", "/"}, {"/fn/a/f/x", "/x"}, {"/fn/a/f//x/../y", "//x/../y"}, {"/fn/a/f?q", "/"}};
  MemoryServer server;
  for (const auto& [path, raw_path] : paths) {
    EXPECT_EQ(server.fetch("GET", path).status, 200) << path;
    EXPECT_EQ(parsed(server.node.calls.back().event_of(server.node.calls.back())).at("rawPath").as_string(), raw_path)
        << path;
    EXPECT_EQ(server.node.calls.back().version_number, 0U);
  }
}

TEST(FunctionUrl, NamesThatNobodyCanHaveAreNotFoundAndNeverReachTheNode) {
  MemoryServer server;
  for (const char* path : {"/fn/Vision/f/", "/fn/a/f%2e%2e/", "/fn/..%2f/f/", "/fn/a/f:0/", "/fn/a/f:Latest/",
                           "/fn/a/f:99999999999/", "/fn/a/f:1_x/", "/fn/a/f:/", "/fn/%ff/f/", "/fn/a%00/f"}) {
    const auto response = server.fetch("GET", path);
    EXPECT_TRUE(response.status == 404 || response.status == 400) << path << " " << response.status;
    EXPECT_FALSE(code_of(response).empty()) << path;
  }
  EXPECT_TRUE(server.node.calls.empty());
  EXPECT_EQ(server.fetch("GET", "/fn/a").status, 404);
}

TEST(FunctionUrl, VersionsAreNumbersOrAliases) {
  struct Row {
    const char* text;
    std::uint32_t number;
    const char* alias;
  };
  MemoryServer server;
  for (const Row& row :
       {Row{"", 0, ""}, Row{":7", 7, ""}, Row{":live", 0, "live"}, Row{":7a", 0, "7a"}, Row{":current", 0, ""}}) {
    const std::string name = std::string("/fn/a/f") + row.text;
    EXPECT_EQ(server.fetch("GET", name + "/x").status, 200) << row.text;
    const node::Call& call = server.node.calls.back();
    EXPECT_EQ(call.version_number, row.number) << row.text;
    EXPECT_EQ(call.alias, row.alias) << row.text;
    EXPECT_EQ(call.function_path(), "/x");
    if (*row.text == '\0') continue;
    const std::string query = std::string("?version=") + (row.text + 1);
    EXPECT_EQ(server.fetch("POST", "/api/v1/apps/a/functions/f/invocations" + query, "{}").status, 200);
    EXPECT_EQ(server.node.calls.back().version_number, row.number) << row.text;
    EXPECT_EQ(server.node.calls.back().alias, row.alias) << row.text;
  }
}

TEST(FunctionUrl, ErrorsOfTheNodeHaveTheStatusOfTheirCode) {
  const std::map<base::Code, int> statuses = {
      {base::Code::kNotFound, 404},       {base::Code::kTooLarge, 413},    {base::Code::kResourceExhausted, 429},
      {base::Code::kFunctionFailed, 502}, {base::Code::kUnavailable, 503}, {base::Code::kDeadlineExceeded, 504},
      {base::Code::kInternal, 500}};
  MemoryServer server;
  for (const auto& [code, status] : statuses) {
    server.node.on_invoke = [failure = code](const node::Call&) {
      node::Reply reply{.version_number = 2};
      reply.error = base::Error{.code = failure, .message = "raised ValueError: \xff\"bad\"\n"};
      return reply;
    };
    const auto response = server.fetch("POST", "/fn/a/f/");
    EXPECT_EQ(response.status, status);
    const auto error = parsed(response.body).at("error");
    EXPECT_EQ(error.at("code").as_string(), base::name_of(code));
    EXPECT_EQ(error.at("message").as_string(), "raised ValueError: \xef\xbf\xbd\"bad\"\n");
    EXPECT_EQ(error.at("request_id").as_string(), base::to_string(server.node.calls.back().id));
    EXPECT_EQ(response.headers.get("x-ebb-request-id"), base::to_string(server.node.calls.back().id));
    EXPECT_NE(response.headers.get("server-timing").find("queue;dur="), std::string_view::npos);
    EXPECT_EQ(response.headers.find("retry-after") != nullptr, code == base::Code::kResourceExhausted);
  }
}

TEST(FunctionUrl, BodiesUpToTheLimitPassAndOneByteMoreIsRefused) {
  MemoryServer server;
  std::string body(limits::kHttpBodyBytes, 'x');
  const auto echoed = server.fetch("POST", "/fn/a/f/", body);
  EXPECT_EQ(echoed.status, 200);
  EXPECT_EQ(echoed.body == body, true);
  body += 'x';
  const auto refused = server.fetch("POST", "/fn/a/f/", body);
  EXPECT_EQ(refused.status, 413);
  EXPECT_NE(message_of(refused).find(std::to_string(limits::kHttpBodyBytes)), std::string::npos);
}

TEST(DirectCall, PassesBodyContentTypeAndVersion) {
  MemoryServer server;
  const auto response = server.fetch("POST", "/api/v1/apps/vision/functions/digits/invocations?version=4", R"({"a":1})",
                                     http::Headers{{"Content-Type", "application/json"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"a":1})");
  EXPECT_EQ(response.headers.get("content-type"), "application/json");
  const node::Call& call = server.node.calls.at(0);
  EXPECT_EQ(call.kind, node::Call::Kind::kDirect);
  EXPECT_EQ(call.content_type, "application/json");
  EXPECT_EQ(call.version_number, 4U);
  EXPECT_EQ(call.event_of, nullptr);
}

TEST(DirectCall, ALongBodyIsReadByWhoeverRunsTheCall) {
  MemoryServer server;
  const std::string path = "/api/v1/apps/vision/functions/digits/invocations";
  const std::string body(limits::kHttpBodyBytes, 'x');
  EXPECT_EQ(server.fetch("POST", path, body).body == body, true);
  EXPECT_EQ(server.fetch("POST", path, body + 'x').status, 413);
  EXPECT_EQ(server.fetch("POST", path + "?version=0", body).status, 404);
  ASSERT_EQ(server.node.calls.size(), 1U);
}

TEST(AsynchronousCall, IsAnsweredWhenItIsKept) {
  MemoryServer server;
  server.node.accept_answer = node::AcceptedCall{.waits_because = "a budget"};
  const std::string path = "/api/v1/apps/a/functions/f/invocations";
  http::Headers headers{{"Content-Type", "application/json"},
                        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
  const auto response = server.fetch("POST", path + "?async=true&version=4", R"({"a":1})", std::move(headers));
  EXPECT_EQ(response.status, 202);
  const node::Call& call = server.node.calls.at(0);
  const std::string id = base::to_string(call.id);
  EXPECT_EQ(call.version_number, 4U);
  EXPECT_EQ(call.body, R"({"a":1})");
  EXPECT_EQ(call.traceparent.substr(3, 4), "0af7");
  EXPECT_EQ(response.headers.get("x-ebb-request-id"), id);
  EXPECT_EQ(response.headers.get("location"), "/api/v1/calls/" + id);
  EXPECT_EQ(parsed(response.body).at("id").as_string(), id);
  EXPECT_EQ(parsed(response.body).at("waits_because").as_string(), "a budget");
  server.node.accept_answer = base::Error{.code = base::Code::kResourceExhausted, .message = "full"};
  EXPECT_EQ(server.fetch("POST", path + "?async=true").status, 429);
  EXPECT_EQ(server.fetch("POST", path + "?async=yes").status, 400);
  EXPECT_EQ(server.fetch("POST", path + "?async=false", "x").status, 200) << "somebody waits";
  EXPECT_EQ(server.fetch("POST", "/fn/a/f/?async=true", "x").body, "x") << "a URL's query is the function's";
  EXPECT_EQ(server.node.kept.size(), 1U);
}

TEST(AsynchronousCalls, AreListedShownRetriedAndRemoved) {
  MemoryServer server;
  const std::string invocations = "/functions/f/invocations?async=true";
  server.fetch("POST", "/api/v1/apps/a" + invocations, "one");
  server.fetch("POST", "/api/v1/apps/b" + invocations, "two");
  const base::InvocationId id = server.node.kept.at(0).call.id;
  const std::string path = "/api/v1/calls/" + base::to_string(id);
  node::AsyncCallView& failed = server.node.kept.at(1);
  failed.state = node::AsyncCallView::State::kFailed;
  failed.call.error = "raised \xff";
  const auto listed = parsed(server.fetch("GET", "/api/v1/calls").body).at("calls").as_array();
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].at("state").as_string(), "waiting");
  EXPECT_TRUE(listed[0].as_object().contains("deadline"));
  EXPECT_EQ(listed[1].at("state").as_string(), "failed");
  EXPECT_EQ(listed[1].at("error").as_string(), "raised \xef\xbf\xbd");
  EXPECT_EQ(parsed(server.fetch("GET", "/api/v1/calls?app=a&limit=1000").body).at("calls").as_array().size(), 1U);
  EXPECT_EQ(parsed(server.fetch("GET", "/api/v1/calls?state=failed").body).at("calls").as_array().size(), 1U);
  for (const char* wrong : {"?state=done", "?limit=0", "?limit=1001", "?function=f", "?app=../x", "?page=1"})
    EXPECT_EQ(server.fetch("GET", std::string("/api/v1/calls") + wrong).status, 400) << wrong;
  EXPECT_EQ(parsed(server.fetch("GET", path).body).at("app").as_string(), "a");
  const auto event = server.fetch("GET", path + "/event");
  EXPECT_EQ(event.body, "one");
  EXPECT_EQ(event.headers.get("content-type"), "application/octet-stream");
  EXPECT_EQ(server.fetch("POST", path + "/retry").status, 204);
  EXPECT_EQ(server.node.retried, std::vector{id});
  EXPECT_EQ(server.fetch("DELETE", path).status, 204);
  EXPECT_EQ(server.fetch("GET", path).status, 404);
  EXPECT_EQ(server.fetch("DELETE", path).status, 404);
  EXPECT_EQ(server.fetch("GET", "/api/v1/calls/nothing").status, 400);
}

TEST(DirectCall, RefusesWhatItDoesNotKnow) {
  MemoryServer server;
  const std::string path = "/api/v1/apps/a/functions/f/invocations";
  EXPECT_EQ(server.fetch("POST", path + "?version=0").status, 404);
  EXPECT_EQ(server.fetch("POST", path + "?version=a%20b").status, 404);
  EXPECT_EQ(server.fetch("POST", path + "?verson=1").status, 400);
  EXPECT_NE(message_of(server.fetch("POST", path + "?verson=1")).find("did you mean version"), std::string::npos);
  EXPECT_EQ(server.fetch("POST", path + "?version=1&version=2").status, 400);
  const auto wrong_method = server.fetch("GET", path);
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.headers.get("allow"), "POST");
  EXPECT_TRUE(server.node.calls.empty());
}

TEST(Deployments, TakeAnArchiveLargerThanAnOrdinaryBody) {
  MemoryServer server;
  server.node.deploy_answer = std::uint64_t{42};
  const std::string archive(limits::kHttpBodyBytes + 1, 'a');
  const auto response = server.fetch("POST", "/api/v1/deployments", archive);
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.body, "{\"id\":42,\"path\":\"/api/v1/deployments/42\"}\n");
  EXPECT_EQ(response.headers.get("location"), "/api/v1/deployments/42");
  ASSERT_EQ(server.node.archives.size(), 1U);
  EXPECT_EQ(server.node.archives[0] == archive, true);
  EXPECT_EQ(server.fetch("POST", "/api/v1/deployments").status, 400);
  EXPECT_EQ(server.node.archives.size(), 1U);
}

TEST(Deployments, AreShownStepByStep) {
  MemoryServer server;
  node::DeploymentStatus running{.id = 5, .app = "vision"};
  node::DeploymentStatus done = running;
  done.state = node::DeploymentStatus::State::kSucceeded;
  done.events = {{.sequence = 1, .phase = "package", .message = "unpacked"},
                 {.sequence = 2, .phase = "layer", .message = "pip"}};
  done.functions = {{.name = "digits", .version_number = 2, .unchanged = true, .note = "cannot be forked: \xff"}};
  server.node.deployment_steps = {running, running, done};
  const auto response = server.fetch("GET", "/api/v1/deployments/5?after=1&wait_ms=20000");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body,
            R"({"id":5,"state":"succeeded","app":"vision","events":[{"sequence":2,"phase":"layer","message":"pip"}],)"
            R"("functions":[{"function":"digits","version":2,"unchanged":true,"note":"cannot be forked: )"
            "\xef\xbf\xbd"
            R"(","path":"/fn/vision/digits/"}]})"
            "\n");
}

TEST(Deployments, OfWhichOneFailedSayWhy) {
  MemoryServer server;
  node::DeploymentStatus failed{.id = 6, .state = node::DeploymentStatus::State::kFailed};
  failed.error = base::Error{.code = base::Code::kFunctionFailed, .message = "import failed"};
  failed.detail = "Traceback ...\n";
  server.node.deployment_steps = {failed};
  const auto answer = parsed(server.fetch("GET", "/api/v1/deployments/6").body);
  EXPECT_EQ(answer.at("state").as_string(), "failed");
  EXPECT_EQ(answer.at("error").at("code").as_string(), "function_failed");
  EXPECT_EQ(answer.at("error").at("detail").as_string(), "Traceback ...\n");
  server.node.deployment_steps.clear();
  EXPECT_EQ(server.fetch("GET", "/api/v1/deployments/7").status, 404);
  EXPECT_EQ(server.fetch("GET", "/api/v1/deployments/seven").status, 400);
  EXPECT_EQ(server.fetch("GET", "/api/v1/deployments/7?wait_ms=30001").status, 400);
}

TEST(Functions, AreListedWithWhatRuns) {
  MemoryServer server;
  node::FunctionView view{
      .zygote = "unfit", .zygote_note = "2 threads", .idle = 1, .busy = 2, .starting = 3, .spares = 1, .queued = 4};
  view.version.app = "vision";
  view.version.function = "digits";
  view.version.number = 9;
  server.node.functions_answer =
      node::Deployed{.functions = {view},
                     .apps = {{.name = "shop", .instances = 7}, {.name = "vision", .instances = 6, .scale = {10, 40}}}};
  const auto answer = parsed(server.fetch("GET", "/api/v1/functions").body);
  const auto& function = answer.at("functions").at(0);
  EXPECT_EQ(function.at("version").to_number<int>(), 9);
  EXPECT_EQ(function.at("zygote").as_string(), "unfit");
  EXPECT_EQ(function.at("instances").at("starting").to_number<int>(), 3);
  EXPECT_EQ(function.at("instances").at("spare").to_number<int>(), 1);
  EXPECT_EQ(function.at("queued").to_number<int>(), 4);
  EXPECT_EQ(function.at("path").as_string(), "/fn/vision/digits/");
  EXPECT_TRUE(function.as_object().contains("spec"));
  EXPECT_EQ(boost::json::serialize(answer.at("apps")),
            R"([{"app":"shop","instances":7,"reserve":0},)"
            R"({"app":"vision","instances":6,"reserve":10,"max_instances":40}])");
  const auto other = parsed(server.fetch("GET", "/api/v1/functions?app=other").body);
  EXPECT_EQ(other.at("functions").as_array().size() + other.at("apps").as_array().size(), 0U);
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions?app=../x").status, 400);
}

TEST(Removal, OfAppsAndFunctions) {
  MemoryServer server;
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/vision").status, 204);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/vision/functions/digits").status, 204);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/..%2fx").status, 400);
  EXPECT_EQ(server.node.removed, (std::vector<std::string>{"vision", "vision/digits"}));
  server.node.remove_answer = std::uint64_t{3};
  const auto with_calls = server.fetch("DELETE", "/api/v1/apps/vision");
  EXPECT_EQ(with_calls.status, 200);
  EXPECT_EQ(with_calls.body, "{\"calls_removed\":3}\n");
  server.node.remove_answer = base::not_found("there is no app vision");
  const auto gone = server.fetch("DELETE", "/api/v1/apps/vision");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(code_of(gone), "not_found");
}

TEST(Aliases, AreSetListedAndRemoved) {
  MemoryServer server;
  const std::string path = "/api/v1/apps/a/functions/f/aliases/";
  const auto set = server.fetch("PUT", path + "live", R"({"version":"3","weight":"4=10"})");
  EXPECT_EQ(set.status, 200) << set.body;
  EXPECT_EQ(parsed(set.body).at("weight").at("percent").as_int64(), 10);
  EXPECT_EQ(server.node.aliases_set.at(0).weight, (model::AliasWeight{.version = 4, .percent = 10}));
  const auto all = parsed(server.fetch("GET", "/api/v1/aliases").body).at("aliases").as_array();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].at("name").as_string(), "live");
  EXPECT_EQ(parsed(server.fetch("GET", "/api/v1/aliases?app=b").body).at("aliases").as_array().size(), 0u);
  EXPECT_EQ(server.fetch("GET", "/api/v1/aliases?function=f").status, 400) << "of which app?";
  for (const char* body : {"", "{}", R"({"version":3})", R"({"version":"0"})", R"({"version":"3","weight":"4"})",
                           R"({"version":"3","more":"x"})", R"({"version":"3","weight":"3=10"})"}) {
    EXPECT_EQ(server.fetch("PUT", path + "live", body).status, 400) << body;
  }
  EXPECT_EQ(server.fetch("PUT", path + "7", R"({"version":"3"})").status, 400);
  EXPECT_EQ(server.node.aliases_set.size(), 1u);
  EXPECT_EQ(server.fetch("DELETE", path + "live").status, 204);
  EXPECT_EQ(server.fetch("DELETE", path + "live").status, 404);
}

TEST(Versions, AreListedWithTheirNamesAndRolledBackTo) {
  MemoryServer server;
  const model::Alias gray{.name = "gray", .version = 1, .weight = {.version = 2, .percent = 10}};
  for (const std::uint32_t number : {2u, 1u}) {
    server.node.versions_answer.push_back({.version = {.app = "a", .function = "f", .number = number},
                                           .current = number == 2,
                                           .aliases = {gray},
                                           .bytes = 1000 + number});
  }
  const auto listed = parsed(server.fetch("GET", "/api/v1/apps/a/functions/f/versions").body).at("versions").as_array();
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].at("version").as_int64(), 2);
  EXPECT_TRUE(listed[0].at("current").as_bool());
  EXPECT_EQ(listed[0].at("bytes").as_int64(), 1002);
  EXPECT_EQ(listed[0].at("aliases").at(0).at("percent").as_int64(), 10);
  EXPECT_EQ(listed[1].at("aliases").at(0).at("percent").as_int64(), 90);
  const std::string back = "/api/v1/apps/a/functions/f/rollback";
  EXPECT_EQ(server.fetch("POST", back, R"({"version":"1"})").status, 200);
  EXPECT_EQ(server.fetch("POST", back).status, 200);
  for (const char* body : {R"({"version":"x"})", R"({"version":1})", R"({"to":"1"})", "[]"})
    EXPECT_EQ(server.fetch("POST", back, body).status, 400) << body;
  EXPECT_EQ(server.node.rolled_back, (std::vector<std::uint32_t>{1, 0}));
}

TEST(ControlPlane, APageOfAnotherSiteChangesNothing) {
  MemoryServer server;
  const std::string own = server.url.substr(7);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/a", "", http::Headers{{"Origin", "http://evil.example"}}).status, 403);
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/a", "", http::Headers{{"Origin", "null"}}).status, 403);
  EXPECT_EQ(
      server.fetch("POST", "/api/v1/deployments", "x", http::Headers{{"Origin", "http://" + own + ".evil"}}).status,
      403);
  EXPECT_TRUE(server.node.removed.empty());
  EXPECT_TRUE(server.node.archives.empty());
  EXPECT_EQ(server.fetch("DELETE", "/api/v1/apps/a", "", http::Headers{{"Origin", "http://" + own}}).status, 204);
  EXPECT_EQ(server.fetch("GET", "/api/v1/functions", "", http::Headers{{"Origin", "http://evil.example"}}).status, 200);
}

TEST(Logs, AreAskedForPreciselyAndSurviveAnyBytes) {
  MemoryServer server;
  const auto id = base::new_invocation_id();
  node::LogPage page{.lines = {{.id = id,
                                .time = base::WallTime(std::chrono::seconds(0)),
                                .app = "a",
                                .function = "f",
                                .stream = "err",
                                .text = std::string("bytes \xfe\x00\x1b[2J", 12)}},
                     .cursor = "c\"1"};
  server.node.log_pages = {page};
  const auto response = server.fetch("GET", "/api/v1/logs?app=a&function=f&request=" + base::to_string(id) +
                                                "&since=2026-11-22T21:21:54.5%2B01:00&limit=7&cursor=x%20y");
  EXPECT_EQ(response.status, 200);
  const auto answer = parsed(response.body);
  EXPECT_EQ(answer.at("cursor").as_string(), "c\"1");
  EXPECT_EQ(answer.at("lines").at(0).at("time").as_string(), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(std::string(answer.at("lines").at(0).at("text").as_string()).substr(0, 9), "bytes \xef\xbf\xbd");
  const node::LogQuery& query = server.node.log_queries.at(0);
  EXPECT_EQ(query.request, id);
  EXPECT_EQ(query.limit, 7U);
  EXPECT_EQ(query.cursor, "x y");
  EXPECT_EQ(base::to_rfc3339(*query.since), "2026-11-22T20:21:54.500Z");
}

TEST(Logs, WaitForNewLinesFromWhereTheLastLookEnded) {
  MemoryServer server;
  node::LogPage found{.lines = {{.app = "a", .function = "f", .stream = "out", .text = "late"}}, .cursor = "3"};
  server.node.log_pages = {node::LogPage{.lines = {}, .cursor = "2"}, found};
  const auto answer = parsed(server.fetch("GET", "/api/v1/logs?app=a&cursor=1&wait_ms=20000").body);
  EXPECT_EQ(answer.at("lines").as_array().size(), 1U);
  ASSERT_EQ(server.node.log_queries.size(), 2U);
  EXPECT_EQ(server.node.log_queries[0].cursor, "1");
  EXPECT_EQ(server.node.log_queries[1].cursor, "2");
}

TEST(Logs, StopWaitingWhenTheDaemonDrains) {
  MemoryServer server;
  server.gateway().stop_waiting();
  EXPECT_EQ(server.fetch("GET", "/api/v1/logs?app=a&cursor=1&wait_ms=30000").status, 200);
  EXPECT_EQ(server.fetch("GET", "/readyz").status, 503);
}

TEST(Logs, RefuseWrongQuestions) {
  MemoryServer server;
  for (const char* query :
       {"", "?app=a&limit=0", "?app=a&limit=10001", "?app=a&request=short", "?app=a&since=yesterday", "?app=A",
        "?app=a&wait_ms=-1", "?app=a&follow=1", "?app=%zz", "?app=a&since=2026-02-30T00:00:00Z"}) {
    EXPECT_EQ(server.fetch("GET", std::string("/api/v1/logs") + query).status, 400) << query;
  }
  EXPECT_TRUE(server.node.log_queries.empty());
}

TEST(Usage, GivesRecordsAndTotals) {
  MemoryServer server;
  model::UsageRecord record{.invocation = base::new_invocation_id(), .app = "a", .function = "f"};
  record.end = model::UsageEnd{.billed_ms = 2, .cu_micro = 12345};
  server.node.usage_answer =
      node::UsagePage{.records = {record}, .invocations = 3, .billed_ms = 6, .micro_cu = 1'000'001};
  const auto answer = parsed(server.fetch("GET", "/api/v1/usage?app=a&function=f&since=1h&limit=0").body);
  EXPECT_EQ(answer.at("records").at(0).at("cu").as_string(), "0.012345");
  EXPECT_EQ(answer.at("totals").at("invocations").to_number<int>(), 3);
  EXPECT_EQ(answer.at("totals").at("cu").as_string(), "1.000001");
  const node::UsageQuery& query = server.node.usage_queries.at(0);
  EXPECT_EQ(query.limit, 0U);
  EXPECT_LT(*query.since, base::wall_now() - std::chrono::minutes(59));
  EXPECT_EQ(server.fetch("GET", "/api/v1/usage?function=f").status, 400);
}

TEST(ForOperators, HealthReadinessMetricsLimitsAndTheFrontPage) {
  MemoryServer server;
  EXPECT_EQ(server.fetch("GET", "/healthz").body, "ok\n");
  EXPECT_EQ(server.fetch("GET", "/readyz").status, 200);
  server.node.is_ready = false;
  EXPECT_EQ(server.fetch("GET", "/readyz").status, 503);
  EXPECT_EQ(server.fetch("GET", "/healthz").status, 200);
  EXPECT_NE(server.fetch("GET", "/metrics").body.find("ebb_up 1"), std::string::npos);
  EXPECT_EQ(
      parsed(server.fetch("GET", "/api/v1/limits").body).at("limits").at("http_body_bytes").to_number<std::size_t>(),
      limits::kHttpBodyBytes);
  EXPECT_NE(server.fetch("GET", "/").body.find("/fn/<app>/<function>"), std::string::npos);
  EXPECT_EQ(server.fetch("HEAD", "/healthz").status, 200);
}

TEST(Routes, UnknownOnesGiveAHintAndWrongMethodsAnAllow) {
  MemoryServer server;
  const auto unknown = server.fetch("GET", "/function/a");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_NE(message_of(unknown).find("function URLs begin with /fn/"), std::string::npos);
  const auto wrong = server.fetch("PUT", "/healthz");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.get("allow"), "GET");
}

// The specification is held against the router, both ways.
TEST(Routes, AreThoseOfTheOpenApiFile) {
  const YAML::Node document = YAML::LoadFile(std::string(EBB_SOURCE_DIR) + "/docs/reference/openapi.yaml");
  ASSERT_EQ(document["openapi"].as<std::string>().substr(0, 2), "3.");
  const std::set<std::string> every = {"get", "head", "post", "put", "patch", "delete", "options"};
  std::set<std::string> described;
  for (const auto& path : document["paths"]) {
    for (const auto& operation : path.second) {
      const std::string method = operation.first.as<std::string>();
      if (every.count(method) == 0) continue;
      EXPECT_TRUE(operation.second["responses"]) << method << " " << path.first;
      described.insert(method + " " + path.first.as<std::string>());
    }
  }
  MemoryNode node;
  std::set<std::string> served;
  for (const http::Route& route : Gateway(node, {}).routes()) {
    std::string path = route.pattern;
    if (const auto dots = path.find("...}"); dots != std::string::npos) path.erase(dots, 3);
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    for (const std::string& each : method == "*" ? every : std::set<std::string>{method})
      served.insert(each + " " + path);
  }
  EXPECT_EQ(described, served);
}

TEST(Rfc3339, ReadsTimesAndRefusesTheRest) {
  EXPECT_EQ(base::to_rfc3339(*parse_rfc3339("2026-11-22T21:21:54Z")), "2026-11-22T21:21:54.000Z");
  EXPECT_EQ(base::to_rfc3339(*parse_rfc3339("2026-11-22t21:21:54.1234567899-02:30")), "2026-11-22T23:51:54.123Z");
  EXPECT_EQ(base::to_rfc3339(*parse_rfc3339("2024-02-29T00:00:00z")), "2024-02-29T00:00:00.000Z");
  for (const char* wrong :
       {"", "2026", "2026-11-22", "2026-11-22 21:21:54Z", "2026-11-22T21:21:54", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T21:21:54.Z", "2026-11-22T21:21:54Zx",
        "2026-11-22T21:21:54+0100", "-026-11-22T21:21:54Z", "2026-00-10T00:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace ebb::gateway
