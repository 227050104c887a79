// Goal: names, suggestions, specs, versions and usage values keep their rules. Method: tables and round trips.
#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>

#include "base/limits.h"
#include "model/function_spec.h"
#include "model/names.h"
#include "model/suggestion.h"
#include "model/usage.h"
#include "model/version.h"

namespace ebb::model {
namespace {

using namespace std::chrono_literals;

TEST(Names, TakesTheAlphabetAndNothingElse) {
  for (const char* good : {"a", "digits", "my-app", "a1-b2", "0"}) EXPECT_TRUE(is_name(good)) << good;
  for (const char* bad : {"", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a b", "\xc3\xa9"})
    EXPECT_FALSE(is_name(bad)) << bad;
  EXPECT_TRUE(is_name(std::string(limits::kNameLength, 'a')));
  EXPECT_FALSE(is_name(std::string(limits::kNameLength + 1, 'a')));
  EXPECT_NE(check_name("app", "No").error().message.find("lower-case"), std::string::npos);
}

TEST(Suggestion, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("memory", "memory"), 0u);
  EXPECT_EQ(edit_distance("memry", "memory"), 1u);
  EXPECT_EQ(edit_distance("hanlder", "handler"), 1u) << "a swap is one slip";
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance(std::string(100'000, 'x'), "x"), 63u) << "cut, not quadratic in what somebody sends";
}

TEST(Suggestion, OffersOnlyWhatIsNear) {
  constexpr std::array<std::string_view, 3> kKnown = {"memory", "timeout", "env"};
  EXPECT_EQ(nearest_word("memry", kKnown), "memory");
  EXPECT_EQ(nearest_word("envs", kKnown), "env");
  EXPECT_FALSE(nearest_word("colour", kKnown));
  EXPECT_EQ(suggestion_for("colour", kKnown), "known are memory, timeout and env");
  EXPECT_EQ(suggestion_for("memroy", kKnown), "did you mean memory?");
}

FunctionSpec spec_of_digits() {
  FunctionSpec spec;
  spec.name = "digits";
  spec.handler = "app.handler";
  spec.interface = Interface::kAsgi;
  spec.memory = base::Bytes{100'000'001};
  spec.cpu_millis = 333;
  spec.timeout = 1500ms;
  spec.scale = {2, 7};
  spec.reuse = Reuse::kNever;
  spec.idle_timeout = 0s;
  spec.max_wait = 2500ms;
  spec.async = {.retries = 0, .retry_after = 5s, .max_age = 90min};
  spec.env = {{"A", ""}, {"B", "line\n\"quoted\" \xe2\x82\xac"}};
  spec.network = Network::kEgress;
  return spec;
}

TEST(FunctionSpec, RoundTripsThroughJsonText) {
  const FunctionSpec spec = spec_of_digits();
  const std::string text = boost::json::serialize(to_json(spec));
  const auto again = function_spec_from_json(boost::json::parse(text).as_object());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, spec);
  EXPECT_EQ(boost::json::serialize(to_json(*again)), text);
  FunctionSpec isolated = spec;
  isolated.network = Network::kNone;
  isolated.egress.clear();
  isolated.isolation = Isolation::kGvisor;
  const auto read = function_spec_from_json(to_json(isolated));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, isolated);
}

TEST(FunctionSpec, ReadsEveryCpuExactly) {
  FunctionSpec spec = spec_of_digits();
  for (std::uint32_t millis = 50; millis <= 4000; ++millis) {
    spec.cpu_millis = millis;
    EXPECT_EQ(function_spec_from_json(to_json(spec))->cpu_millis, millis);
  }
}

TEST(FunctionSpec, RefusesJsonOfTheWrongShape) {
  for (const char* text :
       {R"({})", R"({"name":"f"})", R"({"name":"f","handler":3})", R"({"name":"f","handler":"a.b","env":[]})",
        R"({"name":"f","handler":"a.b","env":{"A":1}})", R"({"name":"f","handler":"a.b","cpu":"x"})",
        R"({"name":"f","handler":"a.b","cpu":-1})", R"({"name":"f","handler":"a.b","scale":3})",
        R"({"name":"f","handler":"a.b","memory":"1 Mi"})", R"({"name":"f","handler":"a.b","timeout":"x"})",
        R"({"name":"f","handler":"a.b","network":"all"})", R"({"name":"f","handler":"a.b","reuse":"once"})"}) {
    const auto spec = function_spec_from_json(boost::json::parse(text).as_object());
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().code, base::Code::kInvalidArgument);
  }
}

TEST(FunctionSpec, NamesTheFieldThatBreaksARule) {
  const auto field_after = [](auto change) {
    FunctionSpec spec = spec_of_digits();
    change(spec);
    const auto violation = first_violation(spec);
    return violation ? violation->field : std::string("none");
  };
  EXPECT_EQ(field_after([](FunctionSpec&) {}), "none");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.runtime = "java"; }), "runtime");
  for (const char* handler : {"", "app", "app.", ".app", "app..x", "1a.b", "a/b.c", "a.b c"}) {
    EXPECT_EQ(field_after([&](FunctionSpec& s) { s.handler = handler; }), "handler") << handler;
  }
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.handler = "a.b.c._d1"; }), "none");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.memory.count = limits::kFunctionMemoryBytesMin - 1; }), "memory");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.memory.count = limits::kFunctionMemoryBytesMin; }), "none");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.memory.count = limits::kFunctionMemoryBytesMax + 1; }), "memory");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.cpu_millis = 49; }), "cpu");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.concurrency = 2; }), "concurrency");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.concurrency = 0; }), "concurrency");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.scale = {0, 0}; }), "scale.max");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.scale = {8, 7}; }), "scale.min");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.timeout = 0s; }), "timeout");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.timeout = 24h + 1ns; }), "timeout");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"1A", ""}}; }), "env.1A");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"EBB_X", ""}}; }), "env.EBB_X");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"LD_PRELOAD", "x"}}; }), "env.LD_PRELOAD");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"A", std::string("a\0b", 3)}}; }), "env.A");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"A", std::string(limits::kEnvBytes - 1, 'x')}}; }), "none");
  EXPECT_EQ(field_after([](FunctionSpec& s) { s.env = {{"A", std::string(limits::kEnvBytes, 'x')}}; }), "env");
}

TEST(Version, ShowsItsParts) {
  const Version version{.id = base::VersionId{9},
                        .app = "a",
                        .function = "digits",
                        .number = 3,
                        .spec = spec_of_digits(),
                        .package_key = "p",
                        .layer_key = ""};
  const auto object = to_json(version);
  EXPECT_EQ(object.at("version").to_number<int>(), 3);
  EXPECT_EQ(object.at("spec").at("cpu").as_double(), 0.333);
  EXPECT_EQ(object.at("created").as_string(), "1970-01-01T00:00:00.000Z");
}

TEST(Usage, NamesReadBack) {
  for (std::size_t i = 0; i < kRungs; ++i) EXPECT_EQ(rung_named(name_of(static_cast<Rung>(i))), static_cast<Rung>(i));
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    EXPECT_EQ(outcome_named(name_of(static_cast<Outcome>(i))), static_cast<Outcome>(i));
  }
  EXPECT_FALSE(rung_named("warm"));
  EXPECT_FALSE(outcome_named(""));
}

TEST(Usage, WritesCuExactly) {
  EXPECT_EQ(cu_text(0), "0.000000");
  EXPECT_EQ(cu_text(12'345), "0.012345");
  EXPECT_EQ(cu_text(18'446'744'073'709'551'615u), "18446744073709.551615");
}

TEST(Usage, JsonLacksTheEndWhileOpen) {
  UsageRecord record;
  record.app = "a";
  EXPECT_EQ(to_json(record).at("state").as_string(), "open");
  EXPECT_FALSE(to_json(record).contains("outcome"));
  record.end = UsageEnd{.outcome = Outcome::kTimedOut, .handler = 1500us, .cu_micro = 7};
  const auto object = to_json(record);
  EXPECT_EQ(object.at("outcome").as_string(), "timed_out");
  EXPECT_EQ(object.at("handler_ms").as_double(), 1.5);
  EXPECT_EQ(object.at("cu").as_string(), "0.000007");
}

}  // namespace
}  // namespace ebb::model
