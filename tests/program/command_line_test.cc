// The command line against a daemon: what each command sends, prints and exits with.
// Method: cli::run in this process, its output captured, over the real gateway and a MemoryNode on the loopback.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/limits.h"
#include "cli/program.h"
#include "gateway/memory_server.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};

Outcome ebb(std::vector<std::string> arguments, const std::string& url = {}) {
  if (!url.empty()) {
    arguments.push_back("--url");
    arguments.push_back(url);
  }
  arguments.insert(arguments.begin(), "ebb");
  setenv("EBB_KEY", gateway::MemoryServer::admin().text.c_str(), 1);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = cli::run(static_cast<int>(arguments.size()), argv.data(),
                            {{"serve", "Start the platform",
                              [](std::vector<std::string> rest) { return 40 + static_cast<int>(rest.size()); }}});
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

boost::json::value parsed(const std::string& text) {
  boost::system::error_code failed;
  auto value = boost::json::parse(text, failed);
  EXPECT_FALSE(failed) << failed.message() << ": " << text;
  return value;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class AppFolder {
 public:
  explicit AppFolder(const std::string& manifest) {
    std::string pattern = (fs::temp_directory_path() / "ebb-cli-XXXXXX").string();
    path = mkdtemp(pattern.data());
    if (!manifest.empty()) std::ofstream(path + "/ebb.yaml") << manifest;
    std::ofstream(path + "/app.py") << "def handler(event, context): return 1\n";
  }
  ~AppFolder() { fs::remove_all(path); }
  std::string path;
};

constexpr const char* kManifest = "app: vision\nfunctions:\n  digits: {runtime: python3, handler: app.handler}\n";

TEST(CommandLine, WithoutOrWithAWrongCommandTeaches) {
  EXPECT_EQ(ebb({}).status, 2);
  const Outcome help = ebb({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* word : {"deploy", "invoke", "serve", "logs", "usage", "EBB_URL", "Examples:"})
    EXPECT_TRUE(holds(help.out, word)) << word;
  const Outcome typo = ebb({"depoly"});
  EXPECT_EQ(typo.status, 2);
  EXPECT_TRUE(holds(typo.err, "did you mean deploy")) << typo.err;
  EXPECT_EQ(ebb({"version"}).out.substr(0, 4), "ebb ");
  EXPECT_TRUE(parsed(ebb({"version", "--json"}).out).as_object().contains("version"));
  EXPECT_EQ(ebb({"serve", "--config", "x"}).status, 42);
}

TEST(CommandLine, WrongArgumentsExitWithTwo) {
  const std::vector<std::vector<std::string>> wrong = {{"invoke"},
                                                       {"invoke", "vision"},
                                                       {"invoke", "Vision/f"},
                                                       {"invoke", "a/f", "--data", "{"},
                                                       {"invoke", "a/f", "--dat", "{}"},
                                                       {"invoke", "a/f", "--data", "{}", "--data-file", "x"},
                                                       {"logs"},
                                                       {"logs", "a/f:3"},
                                                       {"rm"},
                                                       {"rm", "Vision/f:1", "--yes"},
                                                       {"usage", "a/"},
                                                       {"ls", "a/f"},
                                                       {"completion", "tcsh"},
                                                       {"deploy", "a", "b"},
                                                       {"ls", "--url", "ftp://x"}};
  for (const auto& arguments : wrong) {
    const Outcome outcome = ebb(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments[0] << ": " << outcome.err;
    EXPECT_TRUE(holds(outcome.err, "error:")) << outcome.err;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  }
}

TEST(CommandLine, SaysWhatToDoWhenNobodyAnswers) {
  std::string url;
  {
    gateway::MemoryServer server;
    url = server.url;
  }  // its port is free again
  const Outcome outcome = ebb({"ls"}, url);
  EXPECT_EQ(outcome.status, 8);
  EXPECT_TRUE(holds(outcome.err, "is ebb serve running?")) << outcome.err;
  const Outcome json = ebb({"ls", "--json"}, url);
  EXPECT_EQ(parsed(json.err).at("error").at("code").as_string(), "unavailable");
}

TEST(Completion, KnowsEveryCommandAndItsOptions) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = ebb({"completion", shell});
    EXPECT_EQ(outcome.status, 0);
    for (const char* word : {"deploy", "serve", "completion", "data-file", "follow"})
      EXPECT_TRUE(holds(outcome.out, word)) << shell << word;
  }
}

TEST(Invoke, PrintsTheAnswer) {
  gateway::MemoryServer server;
  const Outcome plain = ebb({"invoke", "vision/digits", "--data", R"({"a": 1})"}, server.url);
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.out, R"({"a": 1})");
  EXPECT_EQ(server.node.calls.back().app + "/" + server.node.calls.back().function, "vision/digits");
  EXPECT_EQ(ebb({"invoke", "vision/digits:4"}, server.url).out, "{}");
  EXPECT_EQ(server.node.calls.back().version_number, 4U);
  const Outcome verbose = ebb({"invoke", "-v", "vision/digits"}, server.url);
  EXPECT_TRUE(holds(verbose.err, "Server-Timing: queue;dur="));
  EXPECT_EQ(verbose.out, "{}");
}

TEST(Invoke, JsonHasStatusHeadersTimingAndBody) {
  gateway::MemoryServer server;
  const auto json = parsed(ebb({"invoke", "a/f", "--data", "[1]", "--json"}, server.url).out);
  EXPECT_EQ(json.at("status").to_number<int>(), 200);
  EXPECT_EQ(json.at("body").at(0).to_number<int>(), 1);
  EXPECT_EQ(json.at("request_id").as_string(), base::to_string(server.node.calls.back().id));
  EXPECT_TRUE(holds(std::string(json.at("timing").as_string()), "handler;dur="));
  AppFolder folder("");
  std::ofstream(folder.path + "/bytes", std::ios::binary) << std::string("\xff\x00\x01z", 4);
  const auto bytes =
      parsed(ebb({"invoke", "a/f", "--raw", "--data-file", folder.path + "/bytes", "--json"}, server.url).out);
  EXPECT_EQ(bytes.at("body_base64").as_string(), "/wABeg==");
  EXPECT_EQ(server.node.calls.back().content_type, "application/octet-stream");
}

TEST(Invoke, AFailedFunctionExitsWithSevenAndNamesItsLogs) {
  gateway::MemoryServer server;
  server.node.on_invoke = [](const node::Call&) {
    node::Reply reply;
    reply.error = base::Error{.code = base::Code::kFunctionFailed, .message = "a/f raised ValueError: \x1b[2Jbad"};
    return reply;
  };
  const Outcome outcome = ebb({"invoke", "a/f"}, server.url);
  EXPECT_EQ(outcome.status, 7);
  EXPECT_TRUE(outcome.out.empty());
  EXPECT_TRUE(holds(outcome.err, "raised ValueError: ?[2Jbad")) << outcome.err;
  EXPECT_TRUE(holds(outcome.err, "ebb logs a/f --request " + base::to_string(server.node.calls.back().id)))
      << outcome.err;
}

TEST(Invoke, AStatusOfTheFunctionsOwnIsAnAnswer) {
  gateway::MemoryServer server;
  server.node.on_invoke = [](const node::Call&) {
    return node::Reply{.status = 404, .body = R"({"error":{"code":"internal"}})"};
  };
  const Outcome outcome = ebb({"invoke", "a/f"}, server.url);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, R"({"error":{"code":"internal"}})");
  EXPECT_TRUE(holds(outcome.err, "status 404"));
}

TEST(Deploy, ChecksTheManifestBeforeAnythingIsSent) {
  gateway::MemoryServer server;
  AppFolder wrong("app: vision\nfunctions:\n  digits: {runtime: python3, handler: app.handler, memry: 1Gi}\n");
  const Outcome outcome = ebb({"deploy", wrong.path}, server.url);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_TRUE(holds(outcome.err, "did you mean memory")) << outcome.err;
  AppFolder empty("");
  EXPECT_EQ(ebb({"deploy", empty.path}, server.url).status, 3);
  std::ofstream(empty.path + "/ebb.yml") << kManifest;
  EXPECT_TRUE(holds(ebb({"deploy", empty.path}, server.url).err, "rename ebb.yml to ebb.yaml"));
  EXPECT_EQ(ebb({"deploy", "/nonexistent"}, server.url).status, 3);
  EXPECT_TRUE(server.node.archives.empty());
}

TEST(Deploy, FollowsTheDeploymentAndPrintsUrls) {
  gateway::MemoryServer server;
  node::DeploymentStatus first{.id = 1, .app = "vision"};
  first.events = {{.sequence = 1, .phase = "package", .message = "unpacked 2 files"}};
  node::DeploymentStatus last = first;
  last.state = node::DeploymentStatus::State::kSucceeded;
  last.events.push_back({.sequence = 2, .phase = "publish", .message = "version 3"});
  last.functions = {{.name = "digits", .version_number = 3, .note = "cannot be forked: 2 threads"}};
  server.node.deployment_steps = {first, last};
  AppFolder folder(kManifest);
  const Outcome outcome = ebb({"deploy", folder.path}, server.url);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "vision/digits version 3  " + server.url + "/fn/vision/digits/\n  note: cannot be forked: 2 threads\n");
  EXPECT_TRUE(holds(outcome.err, "  package  unpacked 2 files\n  publish  version 3\n")) << outcome.err;
  EXPECT_EQ(server.node.archives.size(), 1U);

  server.node.deployment_steps = {first, last};
  const Outcome json = ebb({"deploy", folder.path, "--json"}, server.url);
  EXPECT_TRUE(json.err.empty()) << json.err;
  const auto status = parsed(json.out);
  EXPECT_EQ(status.at("events").as_array().size(), 2U);
  EXPECT_EQ(status.at("functions").at(0).at("url").as_string(), server.url + "/fn/vision/digits/");
}

TEST(Deploy, AFailureShowsTheDetailAndExitsByItsCode) {
  gateway::MemoryServer server;
  node::DeploymentStatus failed{.id = 1, .state = node::DeploymentStatus::State::kFailed, .app = "vision"};
  failed.error = base::Error{.code = base::Code::kFunctionFailed, .message = "app.py cannot be imported"};
  failed.detail = "Traceback (most recent call last):\nImportError: no numpy\n";
  server.node.deployment_steps = {failed};
  AppFolder folder(kManifest);
  const Outcome outcome = ebb({"deploy", folder.path}, server.url);
  EXPECT_EQ(outcome.status, 7);
  EXPECT_TRUE(holds(outcome.err, "ImportError: no numpy")) << outcome.err;
  EXPECT_TRUE(holds(outcome.err, "app.py cannot be imported; nothing was changed")) << outcome.err;
  EXPECT_EQ(parsed(ebb({"deploy", folder.path, "--json"}, server.url).out).at("state").as_string(), "failed");
}

TEST(List, IsATableOrJson) {
  gateway::MemoryServer server;
  EXPECT_TRUE(holds(ebb({"ls"}, server.url).out, "nothing is deployed"));
  node::FunctionView view{.zygote = "unfit", .zygote_note = "2 threads", .idle = 1, .busy = 2};
  view.version.app = "vision";
  view.version.function = "digits";
  view.version.number = 9;
  server.node.functions_answer = node::Deployed{.functions = {view}, .apps = {{.name = "vision", .instances = 3}}};
  const Outcome outcome = ebb({"ls"}, server.url);
  EXPECT_EQ(outcome.out,
            "APP     FUNCTION  VERSION  ZYGOTE  INSTANCES   QUEUED  URL\n"
            "vision  digits    9        unfit   3 (2 busy)  0       " +
                server.url + "/fn/vision/digits/\n\nvision/digits: 2 threads\n");
  EXPECT_EQ(parsed(ebb({"ls", "--json"}, server.url).out).at("functions").as_array().size(), 1U);
  // What an app has as a whole is said where it says something of that.
  view.zygote_note.clear();
  server.node.functions_answer = node::Deployed{.functions = {view},
                                                .apps = {{.name = "free", .instances = 5},
                                                         {.name = "shop", .instances = 2, .scale = {.reserve = 10}},
                                                         {.name = "vision", .instances = 3, .scale = {2, 40}}}};
  EXPECT_TRUE(holds(ebb({"ls"}, server.url).out,
                    "/fn/vision/digits/\n\n"
                    "APP     INSTANCES  RESERVE  MAX_INSTANCES\n"
                    "shop    2          10       -\n"
                    "vision  3          2        40\n"));
}

TEST(Usage, IsATableWithTotals) {
  gateway::MemoryServer server;
  model::UsageRecord record{
      .invocation = base::new_invocation_id(), .version_number = 2, .app = "vision", .function = "digits"};
  record.end = model::UsageEnd{.handler = std::chrono::microseconds(800),
                               .billed_ms = 1,
                               .memory_peak = base::Bytes{3 << 20},
                               .cu_micro = 12345};
  model::UsageRecord open{.invocation = base::new_invocation_id(), .app = "vision", .function = "digits"};
  server.node.usage_answer =
      node::UsagePage{.records = {record, open}, .invocations = 70, .billed_ms = 99, .micro_cu = 1'500'000};
  const Outcome outcome = ebb({"usage", "vision", "--since", "1h"}, server.url);
  EXPECT_EQ(outcome.status, 0);
  for (const char* part : {"vision/digits", "0.8 ms", "3.0 MiB", "0.012345", "running",
                           "70 invocations, the newest 2 shown, 99 ms billed, 1.500000 CU\n"}) {
    EXPECT_TRUE(holds(outcome.out, part)) << part << "\n" << outcome.out;
  }
  EXPECT_EQ(server.node.usage_queries.back().app, "vision");
  EXPECT_TRUE(server.node.usage_queries.back().since.has_value());
  EXPECT_EQ(ebb({"usage", "--since", "yesterday"}, server.url).status, 2);
}

TEST(Bill, IsPrintedAsATableCsvAPageAndJson) {
  gateway::MemoryServer server;
  server.node.prices = *meter::parse_prices("{currency: EUR, prices: [{free: 0, tiers: [{price: 2}]}]}");
  const base::WallTime arrival = meter::parse_month("2026-02")->begin();
  model::UsageRecord record{.invocation = base::new_invocation_id(),
                            .arrival = arrival,
                            .version_number = 3,
                            .app = "vision",
                            .function = "digits",
                            .memory_limit = {1ull << 30},
                            .cpu_millis = 1000};
  record.end = model::UsageEnd{.billed_ms = 1000};
  model::UsageRecord lost = record;
  lost.end->outcome = model::Outcome::kPlatformFault;
  server.node.usage_answer.records = {record, lost};
  const Outcome table = ebb({"bill", "--month", "2026-02", "--by", "version"}, server.url);
  EXPECT_EQ(table.status, 0) << table.err;
  for (const char* part : {"Bill for 2026-02", "digits:3", "1.000000", "1.157500000", "2.315000",
                           "not billed: 1 platform", "amount 2.315000 EUR", "rounded"}) {
    EXPECT_TRUE(holds(table.out, part)) << part << "\n" << table.out;
  }
  const Outcome csv = ebb({"bill", "--month", "2026-02", "--csv"}, server.url);
  EXPECT_TRUE(holds(csv.out,
                    "2026-02,vision,digits,2,1,1000,1.000000,1.000000000,1.000000000,0.150000000,0.007500000,"
                    "1.157500000,2.315000,EUR,0.000000000,"
                    "0.000000000,0.000000000,0.000000000,0.000000000,0.000000000\r\n"))
      << csv.out;
  const AppFolder folder("");
  const std::string page = folder.path + "/bill.html";
  EXPECT_EQ(ebb({"bill", "--month", "2026-02", "--html", page}, server.url).status, 0);
  std::stringstream html;
  html << std::ifstream(page).rdbuf();
  EXPECT_TRUE(holds(html.str(), "<h2>Amount: 2.315000 EUR</h2>")) << html.str();
  EXPECT_TRUE(holds(html.str(), "2026-02-01 to 2026-02-28 (UTC), amounts in EUR")) << html.str();
  EXPECT_EQ(parsed(ebb({"bill", "--month", "2026-02", "--json"}, server.url).out).at("amount").as_string(), "2.315000");
  const Outcome why =
      ebb({"bill", "explain", "vision/digits", "--request", base::to_string(record.invocation)}, server.url);
  for (const char* part :
       {"1 vCPU x 1000 ms", "together 1.157500000 CU", "line digits of 2026-02: 1 billed calls of 2"})
    EXPECT_TRUE(holds(why.out, part)) << part << "\n" << why.out;
  const Outcome lines = ebb({"usage", "vision", "--export", "--month", "2026-02"}, server.url);
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << lines.out;
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{{"bill", "--month", "2026-13"},
                                                                                     {"bill", "--by", "week"},
                                                                                     {"bill", "--csv", "--json"},
                                                                                     {"usage", "--month", "2026-01"},
                                                                                     {"bill", "explain", "vision"}}) {
    EXPECT_EQ(ebb(wrong, server.url).status, 2) << wrong[0] << " " << wrong[1];
  }
}

TEST(Logs, ArePrintedLineByLine) {
  gateway::MemoryServer server;
  const auto id = base::new_invocation_id();
  node::LogPage page{.lines = {{.id = id, .app = "a", .function = "f", .stream = "err", .text = "oops"}},
                     .cursor = "9"};
  server.node.log_pages = {page, page};
  const Outcome outcome = ebb({"logs", "a/f", "--request", base::to_string(id)}, server.url);
  EXPECT_EQ(outcome.out, "1970-01-01T00:00:00.000Z " + base::to_string(id) + " err oops\n");
  EXPECT_EQ(server.node.log_queries.back().request, id);
  EXPECT_EQ(parsed(ebb({"logs", "a/f", "--json"}, server.url).out).at("cursor").as_string(), "9");
}

TEST(Remove, AsksOnlyOnATerminal) {
  gateway::MemoryServer server;
  const Outcome outcome = ebb({"rm", "vision/digits", "--yes"}, server.url);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "removed function vision/digits\n");
  EXPECT_EQ(server.node.removed, std::vector<std::string>{"vision/digits"});
  ASSERT_NE(std::freopen("/dev/null", "r", stdin), nullptr);
  const Outcome unasked = ebb({"rm", "vision"}, server.url);
  EXPECT_EQ(unasked.status, 2);
  EXPECT_TRUE(holds(unasked.err, "say --yes"));
  EXPECT_EQ(server.node.removed.size(), 1U);
  server.node.remove_answer = base::not_found("there is no app vision");
  EXPECT_EQ(ebb({"rm", "vision", "-y"}, server.url).status, 3);
}

TEST(Aliases, AreSetListedAndRemoved) {
  gateway::MemoryServer server;
  const Outcome set = ebb({"alias", "set", "vision/digits", "live", "3", "--weight", "4=10"}, server.url);
  EXPECT_EQ(set.status, 0) << set.err;
  EXPECT_EQ(set.out, "vision/digits:live is version 3 (90 %), 4 (10 %)  " + server.url + "/fn/vision/digits:live/\n");
  const Outcome listed = ebb({"alias", "ls", "vision"}, server.url);
  EXPECT_TRUE(holds(listed.out, "live") && holds(listed.out, "3 (90 %), 4 (10 %)")) << listed.out;
  EXPECT_EQ(parsed(ebb({"alias", "ls", "--json"}, server.url).out).at("aliases").as_array().size(), 1u);
  EXPECT_EQ(ebb({"alias", "rm", "vision/digits", "live"}, server.url).out, "removed alias vision/digits:live\n");
  EXPECT_EQ(ebb({"alias", "rm", "vision/digits", "live"}, server.url).status, 3);
  const std::vector<std::vector<std::string>> wrong = {{"alias"},
                                                       {"alias", "set", "vision/digits", "live"},
                                                       {"alias", "set", "vision", "live", "3"},
                                                       {"alias", "set", "vision/digits:1", "live", "3"},
                                                       {"alias", "set", "vision/digits", "3", "3"},
                                                       {"alias", "set", "vision/digits", "live", "three"},
                                                       {"alias", "set", "vision/digits", "live", "3", "--weight", "4"},
                                                       {"alias", "ls", "vision/digits:1"},
                                                       {"versions", "vision"},
                                                       {"rollback", "vision/digits:3"},
                                                       {"rollback", "vision/digits", "live"}};
  for (const auto& arguments : wrong) EXPECT_EQ(ebb(arguments, server.url).status, 2) << arguments.back();
}

TEST(Versions, AreListedAndRolledBackTo) {
  gateway::MemoryServer server;
  server.node.versions_answer.push_back(
      {.version = {.app = "vision", .function = "digits", .number = 2},
       .current = true,
       .aliases = {{.name = "live", .version = 2}, {.name = "next", .version = 2, .weight = {3, 25}}},
       .bytes = 2048});
  const Outcome listed = ebb({"versions", "vision/digits"}, server.url);
  EXPECT_TRUE(holds(listed.out, "2.0 KiB") && holds(listed.out, "yes") && holds(listed.out, "live, next 75 %"))
      << listed.out;
  EXPECT_TRUE(holds(ebb({"rollback", "vision/digits"}, server.url).out, "version 0 of vision/digits"));
  EXPECT_TRUE(
      holds(ebb({"rollback", "vision/digits", "1"}, server.url).out, "version 1 of vision/digits is the current"));
  EXPECT_EQ(server.node.rolled_back, (std::vector<std::uint32_t>{0, 1}));
}

TEST(CommandLine, KeysAreMadeListedAndRevoked) {
  gateway::MemoryServer server;
  const Outcome made = ebb({"key", "create", "--role", "read", "--app", "vision", "--label", "ci"}, server.url);
  ASSERT_EQ(made.status, 0) << made.err;
  ASSERT_EQ(made.out.size(), 82U) << "the key alone on standard output";
  EXPECT_TRUE(holds(made.err, "not shown again"));
  const std::string id = made.out.substr(4, 12);
  const Outcome listed = ebb({"key", "ls"}, server.url);
  EXPECT_TRUE(holds(listed.out, id) && holds(listed.out, "vision") && holds(listed.out, "ci")) << listed.out;
  EXPECT_FALSE(holds(listed.out, made.out.substr(17, 64)));
  EXPECT_EQ(ebb({"key", "rm", id}, server.url).status, 0);
  EXPECT_EQ(ebb({"key", "rm", id}, server.url).status, 3);
  EXPECT_EQ(ebb({"key", "create", "--role", "root"}, server.url).status, 2);
  EXPECT_EQ(ebb({"key"}, server.url).status, 2);
}

TEST(CommandLine, SecretsComeFromAFileAndAreNeverShown) {
  gateway::MemoryServer server;
  AppFolder folder("");
  std::ofstream(folder.path + "/value") << "hunter2\n";
  const Outcome set =
      ebb({"secret", "set", "vision", "db-password", "--from-file", folder.path + "/value"}, server.url);
  ASSERT_EQ(set.status, 0) << set.err;
  EXPECT_EQ(server.node.secret_values["vision/db-password"], "hunter2");
  const Outcome listed = ebb({"secret", "ls", "vision"}, server.url);
  EXPECT_TRUE(holds(listed.out, "db-password"));
  EXPECT_FALSE(holds(listed.out + set.out + set.err, "hunter2"));
  std::ofstream(folder.path + "/value", std::ios::binary) << "\xff\xfe";
  EXPECT_EQ(ebb({"secret", "set", "vision", "raw", "--from-file", folder.path + "/value"}, server.url).status, 2);
  EXPECT_EQ(ebb({"secret", "set", "vision", "Bad", "--from-file", folder.path + "/value"}, server.url).status, 2);
  EXPECT_EQ(ebb({"secret", "rm", "vision", "db-password"}, server.url).status, 0);
}

TEST(CommandLine, CompletionKnowsTheInnerCommands) {
  const Outcome bash = ebb({"completion", "bash"});
  EXPECT_TRUE(holds(bash.out, "inner=\"create ls rm\"") || holds(bash.out, "create")) << bash.out;
  EXPECT_TRUE(holds(ebb({"completion", "zsh"}).out, "compadd -- "));
  EXPECT_TRUE(holds(ebb({"completion", "fish"}).out, "__fish_seen_subcommand_from key"));
}

}  // namespace
}  // namespace ebb
