// Goal: the manifest reader takes what the documentation shows and refuses everything else with line, key and remedy.
// Method: tables of texts and the exact beginning of their errors.
#include "model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>

#include "base/limits.h"
#include "model/config.h"

namespace ebb::model {
namespace {

using namespace std::chrono_literals;

TEST(Manifest, ReadsEverything) {
  const auto manifest = parse_manifest(R"(app: vision
build: python train.py
functions:
  digits:
    runtime: python3
    handler: pkg.app.handler
    memory: 256Mi   # a comment
    cpu: 0.25
    timeout: 1m30s
    concurrency: 1
    scale: {min: 1, max: 50}
    reuse: never
    idle_timeout: 0
    max_wait: 1500ms
    async: {retries: 4, retry_after: 10s, max_age: 2h}
    env: {LOG_LEVEL: info, PORT: 8080, EMPTY: ""}
    network: egress
  plain:
    handler: app.handler
)");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->app, "vision");
  EXPECT_EQ(manifest->build, "python train.py");
  ASSERT_EQ(manifest->functions.size(), 2u);
  const FunctionSpec& digits = manifest->functions[0];
  EXPECT_EQ(digits.name, "digits");
  EXPECT_EQ(digits.handler, "pkg.app.handler");
  EXPECT_EQ(digits.memory.count, 256ull << 20);
  EXPECT_EQ(digits.cpu_millis, 250u);
  EXPECT_EQ(digits.timeout, 90s);
  EXPECT_EQ(digits.scale, (Scale{1, 50}));
  EXPECT_EQ(digits.reuse, Reuse::kNever);
  EXPECT_EQ(digits.idle_timeout, 0s);
  EXPECT_EQ(digits.max_wait, 1500ms);
  EXPECT_EQ(digits.async, (AsyncTerms{.retries = 4, .retry_after = 10s, .max_age = 2h}));
  EXPECT_EQ(digits.env.at("PORT"), "8080");
  EXPECT_EQ(digits.env.at("EMPTY"), "");
  EXPECT_EQ(digits.network, Network::kEgress);
  FunctionSpec defaults;
  defaults.name = "plain";
  defaults.handler = "app.handler";
  EXPECT_EQ(manifest->functions[1], defaults);
}

TEST(Manifest, AMinimumAboveTheDefaultMaximumRaisesIt) {
  const auto manifest = parse_manifest("app: a\nfunctions: {f: {handler: a.b, scale: {min: 30}}}");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->functions[0].scale, (Scale{30, 30}));
}

std::string error_of(const std::string& yaml) {
  const auto manifest = parse_manifest(yaml);
  return manifest ? "no error" : manifest.error().message;
}

std::string function_error(const std::string& line) {
  return error_of("app: a\nfunctions:\n  f:\n    handler: a.b\n    " + line + "\n");
}

TEST(Manifest, HoursInWhichMoreInstancesAreKept) {
  const auto manifest = parse_manifest(R"(app: a
functions:
  f:
    handler: a.b
    scale:
      windows:
        - {from: 0 8 * * mon-fri, for: 10h, min: 30, zone: Europe/Berlin}
        - {from: "@daily", for: 1h30m, min: 2}
)");
  ASSERT_TRUE(manifest) << manifest.error().message;
  const Scale& scale = manifest->functions[0].scale;
  EXPECT_EQ(scale.max, 30u);  // nobody wrote one, and it must hold the windows
  ASSERT_EQ(scale.windows.size(), 2u);
  EXPECT_EQ(scale.windows[0], (ScaleWindow{"0 8 * * mon-fri", std::chrono::hours(10), 30, "Europe/Berlin"}));
  EXPECT_EQ(scale.windows[1], (ScaleWindow{"@daily", std::chrono::minutes(90), 2, "UTC"}));
  const auto again = function_spec_from_json(to_json(manifest->functions[0]));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->scale, scale);
}

TEST(Manifest, WindowsThatCannotBe) {
  const auto error = [](std::string_view window) {
    return function_error("scale: {windows: [" + std::string(window) + "]}");
  };
  EXPECT_THAT(error("{from: 0 8 * *, for: 1h, min: 1}"),
              testing::HasSubstr("scale.windows[0].from: is '0 8 * *', which is not five fields"));
  EXPECT_THAT(error("{from: 0 25 * * *, for: 1h, min: 1}"), testing::HasSubstr("has '25' for the hour"));
  EXPECT_THAT(error("{for: 1h, min: 1}"), testing::HasSubstr("from: is missing"));
  EXPECT_THAT(error("{from: 0 8 * * *, for: 1h, min: 0}"), testing::HasSubstr("windows[0].min: is 0"));
  EXPECT_THAT(error("{from: 0 8 * * *, for: 1s, min: 1}"),
              testing::HasSubstr("windows[0].for: is 1s, it must be from 1m to 168h"));
  EXPECT_THAT(error("{from: 0 8 * * *, for: 1h, min: 1, zone: Europe/Berln}"),
              testing::HasSubstr("'Europe/Berln' is no time zone"));
  EXPECT_THAT(function_error("scale: {windows: 3}"), testing::HasSubstr("must be a list"));
}

std::string app_error(std::string_view of_app, std::string_view scale_of_f) {
  const auto manifest = parse_manifest("app: shop\n" + std::string(of_app) +
                                       "\nfunctions:\n  f: {handler: a.b, scale: " + std::string(scale_of_f) +
                                       "}\n  g: {handler: a.b, scale: {max: 5}}\n");
  return manifest ? "" : manifest.error().message;
}

TEST(Manifest, AnAppsReserveAndMostInstances) {
  const auto manifest =
      parse_manifest("app: shop\nreserve: 10\nmax_instances: 40\nfunctions: {f: {handler: a.b, scale: {max: 50}}}\n");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->scale, (AppScale{.reserve = 10, .max_instances = 40}));
  EXPECT_EQ(app_error("reserve: 10", "{max: 5, reserve: 5}"), "") << "a function's own is within its app's";
  EXPECT_EQ(app_error("reserve: 1", "{max: 5, reserve: 5}"), "");
  EXPECT_THAT(app_error("reserve: 11", "{max: 5}"),
              testing::HasSubstr("line 2: reserve: is 11, and the app can have 10 instances at most"));
  EXPECT_THAT(app_error("reserve: 4\nmax_instances: 3", "{max: 5}"),
              testing::HasSubstr("line 2: reserve: is 4, and the app can have 3 instances at most"));
  EXPECT_THAT(app_error("max_instances: 0", "{max: 5}"), testing::HasSubstr("line 2: max_instances: is 0, it must be"));
  EXPECT_THAT(app_error("max_instances: 2", "{min: 3}"),
              testing::HasSubstr("max_instances: is 2, and scale.min of its functions, windows too, keeps 3"));
  EXPECT_THAT(app_error("max_instances: 2", "{windows: [{from: '0 8 * * *', for: 1h, min: 3}]}"),
              testing::HasSubstr("windows too, keeps 3"));
  EXPECT_THAT(app_error("max_instances: 2", "{reserve: 3}"),
              testing::HasSubstr("max_instances: is 2, and scale.reserve of its functions comes to 3"));
  EXPECT_THAT(app_error("reserve: many", "{max: 5}"), testing::HasSubstr("line 2: reserve: "));
}

TEST(Manifest, NamesLineKeyAndRemedy) {
  EXPECT_EQ(function_error("memry: 1Gi"), "line 5: functions.f.memry: unknown key, did you mean memory?");
  EXPECT_EQ(function_error("scale:\n      mx: 3"), "line 6: functions.f.scale.mx: unknown key, did you mean max?");
  EXPECT_EQ(function_error("handler: a.c"), "line 5: functions.f.handler: written twice, keep one of them");
  EXPECT_EQ(function_error("memory: [1]"), "line 5: functions.f.memory: is a list, expected a size such as 512Mi");
  EXPECT_EQ(function_error("memory:"), "line 5: functions.f.memory: is empty, expected a size such as 512Mi");
  EXPECT_EQ(function_error("memory: 1Mi"), "line 5: functions.f.memory: is 1Mi, it must be from 16Mi to 64Gi");
  EXPECT_EQ(function_error("scale:\n      min: 1\n      max: 1001"),
            "line 7: functions.f.scale.max: is 1001, it must be from 1 to 1000");
  EXPECT_EQ(function_error("env:\n      A: 1\n      LD_PRELOAD: x"),
            "line 7: functions.f.env.LD_PRELOAD: is reserved, names beginning with EBB_ or LD_ belong to the platform");
  EXPECT_EQ(function_error("env:\n      A: {b: c}"),
            "line 6: functions.f.env.A: is a map, expected a text (\"\" for an empty one)");
  EXPECT_EQ(error_of("app: a\nfunctions:\n  f:\n    memory: 1Gi\n"),
            "line 4: functions.f.handler: is missing, write it as module.function such as app.handler");
  EXPECT_EQ(error_of(""), "line 1: the file is empty, it needs app and functions");
  EXPECT_EQ(error_of("# nothing\n"), "line 1: the file is empty, it needs app and functions");
}

TEST(Manifest, RefusesWithTheKeyInTheMessage) {
  const auto has = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_TRUE(message.starts_with("line ")) << message;
  };
  has(error_of("functions: {f: {handler: a.b}}"), "app: is missing");
  has(error_of("app: a"), "functions: is missing");
  has(error_of("app: a\nfunctions: {}"), "at least one");
  has(error_of("app: a\nfunctions: [x]"), "functions: must be a map");
  has(error_of("app: A\nfunctions: {f: {handler: a.b}}"), "line 1: app: 'A' cannot name an app");
  has(error_of("app: [a]\nfunctions: {f: {handler: a.b}}"), "app: is a list");
  has(error_of("app: a\nfunctions:\n  Bad_Name: {handler: a.b}"), "line 3: functions.Bad_Name");
  has(error_of("app: a\nfunctions:\n  f:\n  g: {handler: a.b}"), "line 3: functions.f: is empty");
  has(error_of("- a\n- b"), "is a list, expected a map");
  has(error_of("just text"), "is a single value, expected a map");
  has(function_error("cpu: 0.04"), "functions.f.cpu");
  for (const char* cpu : {"half", ".5", "1.", "1.2345", "-1", "1e3", "\"\"", "99999999999"}) {
    has(function_error(std::string("cpu: ") + cpu), "functions.f.cpu");
  }
  has(function_error("concurrency: 4\n    interface: wsgi"), "with interface: wsgi an instance runs 1 call at a time");
  has(function_error("concurrency: 4\n    interface: event"),
      "with interface: event an instance runs 1 call at a time");
  has(function_error("concurrency: one"), "expected a whole number");
  has(function_error("concurrency: 1.5"), "expected a whole number");
  has(function_error("timeout: 30"), "write it like 30s");
  has(function_error("timeout: 25h"), "functions.f.timeout");
  has(function_error("reuse: sometimes"), "expected always or never");
  has(function_error("network: internet"), "expected none or egress");
  has(function_error("interface: wsgl"), "functions.f.interface");
  has(function_error("interface: wsgl"), "did you mean wsgi?");
  has(function_error("interface: cgi-bin"), "known are auto, event, wsgi and asgi");
  has(function_error("isolation: vm"), "expected namespaces or gvisor");
  has(function_error("network: egress\n    isolation: gvisor"), "leave one of them out");
  has(function_error("runtime: ruby"), "functions.f.runtime");
  has(error_of("app: a\nfunctions: {f: {handler: a.b}"), "is not YAML");
  has(error_of("app: a\n\tfunctions: x"), "is not YAML");
  has(error_of(std::string("app: a\n\0", 8)), "line 2: holds a NUL");
  has(error_of("app: a\n# caf\xe9\n"), "line 2: holds bytes that are no UTF-8");
  has(error_of("app: a\n---\napp: b\n"), "more than one document");
}

TEST(Manifest, AHandlerInJavaScriptIsAFileAndAFunction) {
  const auto error = [](const std::string& keys) {
    return error_of("app: a\nfunctions: {f: {runtime: node" + keys + "}}");
  };
  for (const char* handler : {"index.handler", "src/app.run", "dist/my-app.min.handler"}) {
    EXPECT_EQ(error(std::string(", handler: ") + handler), "no error") << handler;
  }
  for (const char* handler : {"index", "../index.handler", "/etc/x.handler", ".handler", "src/.", "a b.handler"}) {
    EXPECT_NE(error(std::string(", handler: ") + handler).find("write it as file.function"), std::string::npos)
        << handler;
  }
  EXPECT_NE(error("").find("handler: is missing"), std::string::npos);
  EXPECT_NE(error(", handler: a.b, command: x").find("node calls the handler"), std::string::npos);
  EXPECT_NE(error(", handler: a.b, interface: wsgi").find("is for the runtime python3"), std::string::npos);
}

TEST(Manifest, AHandlerInCppIsAFileOfThePackage) {
  const auto error = [](const std::string& keys) {
    return error_of("app: a\nfunctions: {f: {runtime: native" + keys + "}}");
  };
  for (const char* handler : {"hello.so", "./hello.so", "lib/hello..so"}) {
    EXPECT_EQ(error(std::string(", handler: ") + handler), "no error") << handler;
  }
  for (const char* handler : {"../hello.so", "lib/../../hello.so", "/usr/lib/libc.so.6", "lib/", ".."}) {
    EXPECT_NE(error(std::string(", handler: ") + handler).find("write the path of a file"), std::string::npos)
        << handler;
  }
  EXPECT_NE(error("").find("handler: is missing"), std::string::npos);
  EXPECT_NE(error(", handler: a.so, command: x").find("native calls the handler"), std::string::npos);
  EXPECT_NE(error(", handler: a.so, interface: wsgi").find("is for the runtime python3"), std::string::npos);
}

TEST(Manifest, AModelAloneNeedsNoMoreThanItsFile) {
  const auto manifest = parse_manifest(R"(app: a
functions:
  digits: {model: models/digits.onnx}
  fast:
    runtime: model
    model: digits.onnx
    batch: {size: 16, window: 5ms}
  wide: {model: d.onnx, batch: {size: 200}, concurrency: 40}
  most: {model: d.onnx, batch: {size: 1024}}
)");
  ASSERT_TRUE(manifest) << manifest.error().message;
  const std::vector<FunctionSpec>& functions = manifest->functions;
  EXPECT_EQ(functions[0].runtime, "model");
  EXPECT_EQ(functions[0].model, "models/digits.onnx");
  EXPECT_EQ(functions[0].concurrency, 1u);
  EXPECT_FALSE(listens(functions[0]));
  EXPECT_EQ(functions[1].batch, (Batch{.size = 16, .window = 5ms}));
  EXPECT_EQ(functions[1].concurrency, 32u) << "two batches of one row each";
  EXPECT_TRUE(listens(functions[1]));
  EXPECT_EQ(functions[2].concurrency, 40u);
  EXPECT_EQ(functions[3].concurrency, limits::kCallsPerInstance);
  for (const FunctionSpec& spec : functions) EXPECT_EQ(*function_spec_from_json(to_json(spec)), spec);
}

TEST(Manifest, RefusesWhatAModelCannotHave) {
  const auto error = [](const std::string& keys) { return error_of("app: a\nfunctions: {f: {" + keys + "}}"); };
  const auto has = [&](const std::string& keys, const std::string& part) {
    EXPECT_NE(error(keys).find(part), std::string::npos) << error(keys);
  };
  has("runtime: model", "functions.f.model: is missing");
  for (const char* file : {"''", "/etc/x.onnx", "../x.onnx", "a/../../x.onnx", "digits.pt", "digits"}) {
    EXPECT_NE(error(std::string("model: ") + file), "no error") << file;
  }
  EXPECT_EQ(error("model: a..b/x.onnx"), "no error");
  has("model: x.onnx, handler: a.b", "f.handler: is not for a model");
  has("model: x.onnx, command: ls", "f.command: is not for a model");
  has("model: x.onnx, interface: wsgi", "f.interface: is not for a model");
  has("model: x.onnx, runtime: python3, handler: a.b", "this one is of runtime python3");
  has("handler: a.b, batch: {size: 2}", "f.batch: is for functions that are a model");
  has("model: x.onnx, batch: {size: 0}", "f.batch.size: is 0, it must be from 1 to 1024");
  has("model: x.onnx, batch: {size: 1025}", "f.batch.size");
  has("model: x.onnx, batch: {size: 2, window: 2s}", "f.batch.window: is 2s, it must be from 0 to 1s");
  has("model: x.onnx, batch: {sise: 2}", "did you mean size?");
  has("model: x.onnx, batch: 8", "functions.f.batch");
  has("model: x.onnx, batch: {size: 2}, concurrency: 1", "f.concurrency: is 1, with batch");
  has("model: x.onnx, batch: {size: 2}, isolation: gvisor", "f.batch: needs several calls");
  has("model: x.onnx, batch: {size: 2}, reuse: never", "f.batch: needs several calls");
  has("model: x.onnx, concurrency: 4", "a model without batch");
}

TEST(Manifest, AServerOfFunctionCompute) {
  const auto manifest = parse_manifest(R"(app: a
functions:
  plain: {runtime: http, command: ./serve}
  bare: {runtime: http, contract: fc}
  full:
    runtime: http
    contract: fc
    command: ./serve
    handler: index.handler
    lifecycle: {initialize: 40s, pre_stop: 1500ms}
)");
  ASSERT_TRUE(manifest) << manifest.error().message;
  const std::vector<FunctionSpec>& functions = manifest->functions;
  EXPECT_EQ(functions[0].contract, Contract::kPlain);
  EXPECT_EQ(functions[1].contract, Contract::kFc);
  EXPECT_EQ(functions[1].lifecycle, Lifecycle{});
  EXPECT_EQ(functions[2].lifecycle, (Lifecycle{.initialize = 40s, .pre_stop = 1500ms}));
  for (const FunctionSpec& spec : functions) EXPECT_EQ(*function_spec_from_json(to_json(spec)), spec);

  const auto has = [&](const std::string& keys, const std::string& part) {
    const std::string error = error_of("app: a\nfunctions: {f: {" + keys + "}}");
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  has("runtime: http, command: x, contract: lambda", "f.contract: is 'lambda', expected plain or fc");
  has("handler: a.b, contract: fc", "f.contract: is fc, which is for the runtime http");
  has("runtime: http, command: x, handler: a.b", "or add contract: fc");
  has("runtime: http, command: x, lifecycle: {pre_stop: 1s}", "f.lifecycle: is for contract: fc");
  has("runtime: http, contract: fc, lifecycle: {initialize: 41s}", "f.lifecycle.initialize: is 41s, it must be from 0");
  has("runtime: http, contract: fc, lifecycle: {pre_stop: 11s}", "f.lifecycle.pre_stop: is 11s");
  has("runtime: http, contract: fc, lifecycle: {prestop: 1s}", "did you mean pre_stop?");
  has("runtime: http, contract: fc, isolation: gvisor", "f.isolation: is gvisor");
}

TEST(Manifest, RefusesWhatMakesYamlDangerous) {
  EXPECT_EQ(error_of("app: &x a\nfunctions: {f: {handler: *x}}"),
            "line 1: app: an anchor (&name) is not accepted here, write the value out");
  EXPECT_NE(error_of("app: !!python/object:os.system a").find("a tag ("), std::string::npos);
  EXPECT_NE(error_of("app: a\n<<: {b: c}").find("merge keys"), std::string::npos);
  EXPECT_NE(error_of("? [a, b]\n: c").find("a key must be a plain word"), std::string::npos);
  EXPECT_NE(error_of("a: {b: {c: *nowhere}}"), "no error");
  // Deep enough to overflow the stack of a recursive reader.
  EXPECT_NE(error_of("app: " + std::string(100'000, '[')), "no error");
  EXPECT_NE(error_of("app: " + std::string(100'000, '[') + std::string(100'000, ']')), "no error");
  EXPECT_NE(error_of(std::string(100'000, '{')), "no error");
  std::string nested = "a: ";
  for (int i = 0; i < 17; ++i) nested += "{a: ";
  EXPECT_NE(error_of(nested + "b" + std::string(17, '}')).find("more than 16 levels"), std::string::npos);
  std::string bomb = "a: &a [x,x,x,x]\n";
  for (char c = 'b'; c < 'n'; ++c)
    bomb += std::string(1, c) + ": &" + c + " [*" + std::string(1, static_cast<char>(c - 1)) + "]\n";
  EXPECT_NE(error_of(bomb).find("an anchor"), std::string::npos);
}

TEST(Manifest, HoldsItsSizeLimits) {
  const auto padded = [](std::size_t size) {
    std::string text = "app: a\nfunctions: {f: {handler: a.b}}\n#";
    text.resize(size, 'x');
    return text;
  };
  EXPECT_TRUE(parse_manifest(padded(limits::kManifestBytes)));
  EXPECT_EQ(parse_manifest(padded(limits::kManifestBytes + 1)).error().code, base::Code::kTooLarge);
  std::string many = "app: a\nfunctions:\n";
  for (std::size_t i = 0; i < limits::kFunctionsPerApp; ++i) many += "  f" + std::to_string(i) + ": {handler: a.b}\n";
  EXPECT_EQ(parse_manifest(many)->functions.size(), limits::kFunctionsPerApp);
  EXPECT_NE(error_of(many + "  more: {handler: a.b}\n").find("the limit is 64"), std::string::npos);
}

TEST(Config, AnEmptyFileGivesTheDefaults) {
  EXPECT_EQ(*parse_config(""), Config{});
  EXPECT_EQ(*parse_config("# only a comment\n"), Config{});
}

TEST(Config, EffectiveFormReadsBack) {
  EXPECT_EQ(*parse_config(effective_config_yaml(Config{})), Config{});
  Config config;
  config.data_dir = "/srv/\"odd\" \\ name\n";
  config.listen = "[::1]:0";
  config.user = "_ebb-2";
  config.io_cores = 3;
  config.log_level = base::LogLevel::kError;
  config.memory_budget = base::Bytes{3ull << 30};
  config.max_instances = 1;
  config.max_spares = 0;
  config.freeze_after = 0s;
  config.usage_flush_interval = 1500ms;
  config.usage_held_interval = 5s;
  config.uid_base = 65'536;
  config.python = "/opt/python/bin/python3.11";
  config.build_network = BuildNetwork::kNone;
  config.runsc = "/opt/gvisor/runsc";
  config.usage_retention_days = 90;
  config.price_file = "/etc/ebb/prices.yaml";
  config.pip_only_binary = false;
  config.trusted_proxies = {*base::parse_ip_range("127.0.0.1"), *base::parse_ip_range("fd00:1::/32")};
  const auto again = parse_config(effective_config_yaml(config));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, config);
}

TEST(Config, RefusesWithLineAndSuggestion) {
  const auto error = [](const std::string& yaml) {
    const auto config = parse_config(yaml);
    return config ? std::string("no error") : config.error().message;
  };
  EXPECT_EQ(error("listen: 127.0.0.1:1\ndata_dirr: /x"), "line 2: data_dirr: unknown key, did you mean data_dir?");
  EXPECT_EQ(error("log_level: warnin"), "line 1: log_level: is 'warnin', did you mean warning?");
  for (const char* bad : {"listen: 8080",
                          "listen: ':80'",
                          "listen: '::1:80'",
                          "listen: 'a:65536'",
                          "listen: 'a:'",
                          "listen: '[]:1'",
                          "data_dir: relative",
                          "python: python3",
                          "user: Root!",
                          "user: ''",
                          "user: 1x",
                          "io_cores: 257",
                          "memory_budget: 1Mi",
                          "max_instances: 0",
                          "max_spares: 10001",
                          "freeze_after: 99ms",
                          "freeze_after: 2h",
                          "usage_flush_interval: 1ms",
                          "usage_flush_interval: 2m",
                          "usage_held_interval: 999ms",
                          "usage_held_interval: 11m",
                          "uid_base: 1000",
                          "uid_base: 0",
                          "uid_base: 4294901760",
                          "build_network: lan",
                          "pip_only_binary: yes",
                          "trusted_proxies: 127.0.0.1",
                          "trusted_proxies: [localhost]",
                          "trusted_proxies: [10.0.0.1/8]",
                          "[]",
                          "io_cores: -1",
                          "io_cores: 99999999999"}) {
    EXPECT_TRUE(error(bad).starts_with("line 1: ")) << bad << " -> " << error(bad);
  }
  EXPECT_EQ(load_config("/nonexistent/ebb.yaml").error().code, base::Code::kNotFound);
}

TEST(Config, SplitsTheListenAddress) {
  EXPECT_EQ(*parse_listen("127.0.0.1:8080"), (ListenAddress{"127.0.0.1", 8080}));
  EXPECT_EQ(*parse_listen("[::1]:0"), (ListenAddress{"::1", 0}));
}

}  // namespace
}  // namespace ebb::model
