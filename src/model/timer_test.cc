// Goal: what is written under `timers` is read, kept and told as it was meant, and what is wrong is told with its
// place. Method: manifests as people write them.
#include "model/timer.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/limits_timers.h"
#include "model/manifest.h"

namespace ebb::model {
namespace {

using namespace std::chrono_literals;

base::Result<Manifest> manifest(const std::string& timers, const std::string& more = "handler: app.handler") {
  return parse_manifest("app: a\nfunctions:\n  f:\n    " + more + "\n    timers:\n" + timers);
}

std::vector<Timer> timers(const std::string& text, const std::string& more = "handler: app.handler") {
  const auto read = manifest(text, more);
  EXPECT_TRUE(read) << read.error().message;
  return read ? read->functions.at(0).timers : std::vector<Timer>{};
}

std::string refusal(const std::string& text, const std::string& more = "handler: app.handler") {
  const auto read = manifest(text, more);
  EXPECT_FALSE(read) << text;
  return read ? "" : read.error().message;
}

TEST(Timer, AreReadAndKeptAsWritten) {
  const auto read = timers(
      "      - cron: '0 7 * * mon-fri'\n"
      "        zone: Europe/Berlin\n"
      "        event: {kind: morning, n: 5, parts: [1.5, -2, true, ~, '7', yes]}\n"
      "      - every: 30s\n");
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].zone, "Europe/Berlin");
  EXPECT_EQ(boost::json::parse(read[0].event).at("n").as_int64(), 5);
  EXPECT_EQ(boost::json::serialize(boost::json::parse(read[0].event).at("parts")), R"([1.5E0,-2,true,null,"7","yes"])");
  EXPECT_EQ(read[1].every, 30s);
  EXPECT_EQ(read[1].event, "null");
  EXPECT_EQ(name_of(read[0]), "0 7 * * mon-fri Europe/Berlin");
  EXPECT_EQ(name_of(read[1]), "every 30s");

  const FunctionSpec spec = manifest("      - {cron: '@daily', event: [1]}\n      - {every: 1m30s}\n")->functions.at(0);
  EXPECT_EQ(name_of(spec.timers[0]), "@daily");
  const auto kept = function_spec_from_json(to_json(spec));
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(*kept, spec);
}

TEST(Timer, TheEventSaysWhichAndWhenAndWhatWasWritten) {
  const Timer timer = timers("      - {cron: '0 7 * * *', event: {kind: morning}}\n").at(0);
  const base::WallTime due = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + 7h;
  EXPECT_EQ(
      timer_event(timer, due),
      R"({"source":"ebb.timer","timer":"0 7 * * *","due":"2026-12-01T07:00:00.000Z","event":{"kind":"morning"}})");
  const Timer sent = timers("      - {every: 1h, path: '/jobs?x=1'}\n", "runtime: http\n    command: ./serve").at(0);
  EXPECT_EQ(boost::json::parse(timer_event(sent, due)).at("path").as_string(), "/jobs?x=1");
}

TEST(Timer, WhatIsWrongIsToldWithItsPlace) {
  EXPECT_EQ(refusal("      - {cron: '61 * * * *'}\n").substr(0, 44), "line 6: functions.f.timers[0].cron: has '61'");
  EXPECT_NE(refusal("      - every: 1m\n        evry: 1m\n")
                .find("line 7: functions.f.timers[0].evry: unknown key, did you mean every?"),
            std::string::npos);
  EXPECT_NE(refusal("      - {event: 1}\n").find("timers[0]: has neither cron nor every"), std::string::npos);
  EXPECT_NE(refusal("      - every: 1m\n      - cron: '@daily'\n        every: 1m\n")
                .find("line 8: functions.f.timers[1].every: stands beside cron"),
            std::string::npos);
  EXPECT_NE(refusal("      - {cron: '@daily', zone: Europe/Berln}\n").find("timers[0].zone"), std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m, zone: Europe/Berlin}\n").find("is for cron"), std::string::npos);
  EXPECT_NE(refusal("      - {every: 500ms}\n").find("is 500ms, it must be from 1s to 24h"), std::string::npos);
  EXPECT_NE(refusal("      - {every: 25h}\n").find("must be from 1s"), std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m}\n      - {every: 60s}\n").find("timers[1]: is written twice"),
            std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m, event: " + std::string(limits::kTimerEventBytes, 'x') + "}\n")
                .find("the limit is 4096"),
            std::string::npos);
  EXPECT_NE(refusal("      - {cron: '0 " + std::string(limits::kTimerCronBytes, ' ') + "7 * * *'}\n")
                .find("timers[0].cron: has 265 bytes, the limit is 256"),
            std::string::npos);
  std::string many;
  for (std::size_t n = 0; n <= limits::kTimersPerFunction; ++n)
    many += "      - {every: " + std::to_string(n + 1) + "s}\n";
  EXPECT_NE(refusal(many).find("has 17 timers, the limit is 16"), std::string::npos);
  EXPECT_NE(refusal("      every: 1m\n").find("must be a list"), std::string::npos);
}

TEST(Timer, OneThatIsKeptIsReadOnAMachineThatHasLostItsZone) {
  FunctionSpec spec = manifest("      - {cron: '@daily', zone: Europe/Berlin}\n")->functions.at(0);
  spec.timers[0].zone = "No/Such";
  spec.scale.windows = {{"0 8 * * *", 10h, 5, "No/Such"}};
  const auto kept = function_spec_from_json(to_json(spec));
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(*kept, spec);
}

TEST(Timer, AnEventIsKeptAsTheNextManifestSaysIt) {
  for (const std::string number :
       {"0.1", "-0.0", "5e-324", "1.7976931348623157e308", "123456789.123456789", "0.30000000000000004", "1e22",
        "9007199254740993.5", "18446744073709551615", "-9223372036854775808", "2.2250738585072014e-308"}) {
    const std::string text = "      - {every: 1m, event: [" + number + "]}\n";
    const FunctionSpec written = manifest(text)->functions.at(0);
    const auto kept = function_spec_from_json(boost::json::parse(boost::json::serialize(to_json(written))).as_object());
    ASSERT_TRUE(kept) << kept.error().message;
    EXPECT_EQ(*kept, written) << number;
  }
}

TEST(Timer, NumbersOfAnEventAreThoseThatWereWritten) {
  const auto event = [](const std::string& value) {
    return timers("      - {every: 1m, event: " + value + "}\n").at(0).event;
  };
  EXPECT_EQ(event("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(event("-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(event("+5"), "5");
  EXPECT_EQ(event("+-5"), R"("+-5")");
  EXPECT_EQ(event("++5"), R"("++5")");
  EXPECT_EQ(event("99999999999999999999-1"), R"("99999999999999999999-1")");
  EXPECT_EQ(event("'18446744073709551616'"), R"("18446744073709551616")");
  for (const std::string number : {"18446744073709551616", "-9223372036854775809", "1e400"}) {
    EXPECT_NE(refusal("      - every: 1m\n        event: [1, " + number + "]\n")
                  .find("line 7: functions.f.timers[0].event: has the number " + number),
              std::string::npos);
  }
}

TEST(Timer, APathIsForWhoTakesRequests) {
  EXPECT_TRUE(manifest("      - {every: 1m, path: /jobs}\n"));
  EXPECT_NE(refusal("      - {every: 1m, path: jobs}\n").find("must begin with /"), std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m, path: /jobs}\n", "handler: app.handler\n    interface: event")
                .find("timers[0].path"),
            std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m, path: /jobs}\n", "runtime: node\n    handler: index.handler")
                .find("this is a handler"),
            std::string::npos);
  EXPECT_NE(refusal("      - {every: 1m}\n", "model: digits.onnx").find("a model has none"), std::string::npos);
}

}  // namespace
}  // namespace ebb::model
