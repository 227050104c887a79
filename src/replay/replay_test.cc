// Goal: a plan is a function of its options and fits the machine it is for; the prediction counts the plan's own calls;
// what came back is matched call by call with the node's records, and what does not match is counted. Method: a steady
// trace, and outcomes, records and metrics made by hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "replay/chart.h"
#include "replay/comparison.h"
#include "replay/package.h"
#include "replay/plan.h"
#include "replay/prediction.h"
#include "replay/remote.h"
#include "sim/steady_trace.h"

namespace ebb::replay {
namespace {

using namespace std::chrono_literals;

const Room kRoom{.memory_mb = 1000, .processors = 2};

/// One function that is called six times a minute for 500 ms, and one that is twice as large and is never called.
sim::Trace trace_of(std::uint32_t minutes = 10) {
  sim::Trace trace = sim::steady_trace({.minutes = minutes, .calls_per_minute = 6, .run_ms = 500});
  sim::TraceFunction never = trace.functions.front();
  never.name = "a/never";
  never.per_minute.assign(minutes, 0);
  trace.functions.push_back(never);
  return trace;
}

Plan plan_of(const PlanOptions& options, const Room& room = kRoom) {
  auto plan = make_plan(trace_of(), options, room, sim::default_calibration());
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? std::move(*plan) : Plan{};
}

PlanOptions five_minutes_tenfold() { return {.first_minute = 2, .minutes = 5, .speed = 10}; }

TEST(Plan, DividesArrivalsRunTimesAndIdleTimeBySpeed) {
  const Plan plan = plan_of(five_minutes_tenfold());
  EXPECT_EQ(plan.length, base::Duration(30s));
  EXPECT_EQ(plan.bucket, base::Duration(6s));
  EXPECT_EQ(plan.idle_timeout, base::Duration(6s));
  ASSERT_EQ(plan.calls.size(), 30U);
  for (const sim::PlannedCall& call : plan.calls) {
    EXPECT_LT(call.at_ns, plan.length.count());
    EXPECT_DOUBLE_EQ(call.run_ms, 50);
  }
  for (int minute = 0; minute < 5; ++minute) {
    const auto inside = [&](const sim::PlannedCall& call) { return call.at_ns / plan.bucket.count() == minute; };
    EXPECT_EQ(std::count_if(plan.calls.begin(), plan.calls.end(), inside), 6) << "minute " << minute;
  }
}

TEST(Plan, TakesTheFunctionsThatAreCalled) {
  const Plan plan = plan_of(five_minutes_tenfold());
  ASSERT_EQ(plan.functions.size(), 1U);
  EXPECT_EQ(plan.functions_called, 1U);
  EXPECT_EQ(plan.functions.front().traced, "a/f");
}

TEST(Plan, SameSeedGivesTheSameCalls) {
  const auto times = [](std::uint64_t seed) {
    PlanOptions options = five_minutes_tenfold();
    options.seed = seed;
    std::vector<std::int64_t> at;
    for (const sim::PlannedCall& call : plan_of(options).calls) at.push_back(call.at_ns);
    return at;
  };
  EXPECT_EQ(times(7), times(7));
  EXPECT_NE(times(7), times(8));
}

TEST(Plan, ScalesMemoryUntilThePredictedPeakFits) {
  const Plan roomy = plan_of(five_minutes_tenfold());
  EXPECT_DOUBLE_EQ(roomy.memory_scale, 1);
  // Room for the runtime and half of what the function would hold.
  const Room narrow{.memory_mb = 140, .processors = 2};
  const Plan plan = plan_of(five_minutes_tenfold(), narrow);
  EXPECT_LT(plan.memory_scale, 1);
  EXPECT_LT(plan.functions.front().zygote_mb, roomy.functions.front().zygote_mb);
  const auto predicted = predict(plan, sim::default_calibration(), {});
  ASSERT_TRUE(predicted) << predicted.error().message;
  EXPECT_LE(predicted->held_peak_gb * 1024, 0.5 * narrow.memory_mb * 1.05);
}

TEST(Plan, ComputesSoMuchOfRunTimesAsTheProcessorsMayBeBusy) {
  PlanOptions options = five_minutes_tenfold();
  options.processor_share = 0.01;  // 30 calls of 50 ms in 30 s keep 5 % of a processor busy; 1 % of 2 are allowed
  EXPECT_NEAR(plan_of(options).processor_part, 0.4, 0.001);
  options.processor_share = 0.5;
  EXPECT_DOUBLE_EQ(plan_of(options).processor_part, 1);
}

TEST(Plan, NamesWhatIsWrongWithTheStretch) {
  const auto message = [](PlanOptions options, const sim::Trace& trace) {
    const auto plan = make_plan(trace, options, kRoom, sim::default_calibration());
    return plan ? std::string("no error") : plan.error().message;
  };
  EXPECT_NE(message({.first_minute = 8, .minutes = 5}, trace_of()).find("which has 10 minutes"), std::string::npos);
  sim::Trace silent = trace_of();
  silent.functions.erase(silent.functions.begin());
  EXPECT_NE(message({.minutes = 5}, silent).find("nothing is called"), std::string::npos);
  sim::Trace busy = trace_of();
  busy.functions.front().per_minute.assign(10, 300'000);
  EXPECT_NE(message({.minutes = 10}, busy).find("fewer --functions"), std::string::npos);
}

TEST(Package, ManifestHoldsTheAppsFunctionsWithTheirMemory) {
  const Plan plan = plan_of(five_minutes_tenfold());
  const std::string manifest = manifest_of(plan, "replay");
  EXPECT_NE(manifest.find("app: replay\n"), std::string::npos);
  EXPECT_NE(manifest.find("  f0:  # a/f\n"), std::string::npos);
  EXPECT_NE(manifest.find("idle_timeout: 6000ms"), std::string::npos);
  EXPECT_EQ(manifest_of(plan, "another").find("f0"), std::string::npos);
  EXPECT_TRUE(package_of(plan, "replay"));
}

TEST(Package, ProgramsAreStartedByEachInstance) {
  PlanOptions options = five_minutes_tenfold();
  EXPECT_EQ(manifest_of(plan_of(options), "replay").find("runtime: lambda"), std::string::npos);
  options.programs = 1;
  const std::string manifest = manifest_of(plan_of(options), "replay");
  EXPECT_NE(manifest.find("runtime: lambda\n    command: exec python3 program.py\n"), std::string::npos) << manifest;
}

TEST(Prediction, CountsThePlansCallsAndHoldsWhatIsDeployed) {
  const Plan plan = plan_of(five_minutes_tenfold());
  const auto predicted = predict(plan, sim::default_calibration(), {.runtime_mb = 13});
  ASSERT_TRUE(predicted) << predicted.error().message;
  EXPECT_EQ(predicted->arrived, plan.calls.size());
  EXPECT_EQ(predicted->from_idle + predicted->from_fork + predicted->from_boot, predicted->arrived);
  ASSERT_EQ(predicted->held_by_minute.size(), 5U);
  // The zygote and its runtime are there all the time, instances come on top.
  const double always_gb = (13 + plan.functions.front().zygote_mb) / 1024;
  for (const double held_gb : predicted->held_by_minute) EXPECT_GE(held_gb, always_gb * 0.999);
  EXPECT_LT(predicted->held_by_minute.back(), always_gb + 3 * plan.functions.front().instance_mb / 1024);
}

TEST(Prediction, NeverCalledAgainIsLetGoWhenHoldingHasAPrice) {
  sim::Trace trace = trace_of(60);
  std::fill(trace.functions.front().per_minute.begin() + 2, trace.functions.front().per_minute.end(), 0);
  const auto plan = make_plan(trace, {.minutes = 60, .speed = 60}, kRoom, sim::default_calibration());
  ASSERT_TRUE(plan) << plan.error().message;
  const auto last_held_gb = [&](double price) {
    const auto totals =
        predict(*plan, sim::default_calibration(), {.room = {.keep_alive_price = price}, .runtime_mb = 13});
    EXPECT_TRUE(totals);
    return totals->held_by_minute.back();
  };
  const double runtime_gb = 13.0 / 1024;
  EXPECT_GT(last_held_gb(0), runtime_gb * 1.5) << "held while there is memory";
  EXPECT_EQ(last_held_gb(0.1), 0) << "and the runtime zygote with it";
}

TEST(Prediction, TakesTheTimesOfTheDeploymentsForLoading) {
  sim::Trace trace = trace_of(60);
  const auto plan = make_plan(trace, {.minutes = 60, .speed = 60}, kRoom, sim::default_calibration());
  ASSERT_TRUE(plan) << plan.error().message;
  const auto most_ms = [&](base::Duration load) {
    PredictionOptions options{.room = {.keep_alive_price = 1e-6}, .runtime_mb = 13};
    options.loads = {load};
    const auto totals = predict(*plan, sim::default_calibration(), options);
    EXPECT_TRUE(totals);
    return totals->added.max();
  };
  EXPECT_GT(most_ms(3s), 3000) << "let go at once, so that calls wait for it";
  EXPECT_LT(most_ms(1ms), 1000);
}

TEST(Prediction, ProgramsLoadInEachInstanceAndHaveSpares) {
  const auto plan_with = [](double programs) {
    PlanOptions options = five_minutes_tenfold();
    options.programs = programs;
    return plan_of(options);
  };
  const Plan plan = plan_with(1);
  ASSERT_TRUE(plan.functions.front().program);
  EXPECT_FALSE(plan_with(0).functions.front().program);
  EXPECT_EQ(plan.functions.front().zygote_mb, kBareZygoteMb);
  EXPECT_GT(plan.functions.front().instance_mb, plan_with(0).functions.front().instance_mb);
  const auto totals_with = [&](std::uint32_t spares_most) {
    PredictionOptions options{.room = {.memory_mb = 1000, .processors = 2, .spares_most = spares_most}};
    options.loads = {600ms};
    options.program_loads = {500ms};
    const auto totals = predict(plan, sim::default_calibration(), options);
    EXPECT_TRUE(totals);
    return *totals;
  };
  const sim::Totals with = totals_with(5);
  EXPECT_GT(with.from_spare, 0U);
  EXPECT_GT(with.spare_gbs, 0);
  EXPECT_LT(with.added.max(), 500) << "the first finds a spare";
  const sim::Totals without = totals_with(0);
  EXPECT_EQ(without.from_spare, 0U);
  EXPECT_GE(without.added.max(), 500) << "the first waits for a fork and for the program";
}

TEST(Prediction, WhatStartsAtOneTimeSharesTheProcessors) {
  sim::Trace trace = trace_of(60);
  trace.functions.resize(1);
  auto& counts = trace.functions.front().per_minute;
  std::fill(counts.begin() + 1, counts.end(), 0);  // all are called in the first second, and never again
  for (int i = 1; i < 20; ++i) trace.functions.push_back(trace.functions.front());
  const auto plan = make_plan(trace, {.minutes = 60, .speed = 60}, kRoom, sim::default_calibration());
  ASSERT_TRUE(plan) << plan.error().message;
  const auto most_ms = [&](double processors) {
    PredictionOptions options{.room = {.processors = processors, .keep_alive_price = 1e-6}};
    options.loads.assign(20, 1s);
    options.deployed_before.assign(20, 60s);  // all have loaded, and are let go of
    const auto totals = predict(*plan, sim::default_calibration(), options);
    EXPECT_TRUE(totals);
    return totals->added.max();
  };
  EXPECT_LT(most_ms(0), 2500);
  EXPECT_GT(most_ms(2), 4000) << "twenty times a second of loading, by two processors";
}

TEST(Remote, ReadsMetricsOfItsAppsAndNamesWhatIsMissing) {
  const std::string node =
      "# HELP ebb_processors Processors of the machine.\nebb_processors 2\nebb_memory_budget_bytes 1073741824\n"
      "ebb_keep_alive_price 30\nebb_spares_max 7\n";
  const std::string apps =
      "ebb_memory_held_byte_seconds_total{app=\"replay\",tier=\"runtime\"} 1073741824\n"
      "ebb_memory_held_byte_seconds_total{app=\"replay\",function=\"f0\",tier=\"instance\"} 2147483648\n"
      "ebb_memory_held_byte_seconds_total{app=\"replay\",function=\"f1\",tier=\"spare\"} 536870912\n"
      "ebb_memory_held_byte_seconds_total{app=\"other\",function=\"f0\",tier=\"instance\"} 9e12\n"
      "ebb_runtime_memory_bytes{app=\"replay\"} 13631488\n"
      "ebb_zygote_memory_bytes{app=\"replay\",function=\"f0\"} 5242880\n";
  const auto reading = parse_metrics(node + apps, {"replay"});
  ASSERT_TRUE(reading) << reading.error().message;
  EXPECT_DOUBLE_EQ(reading->held_gb_seconds, 3.5);
  EXPECT_DOUBLE_EQ(reading->spare_gb_seconds, 0.5);
  EXPECT_EQ(reading->spares_most, 7U);
  EXPECT_DOUBLE_EQ(reading->memory_budget_mb, 1024);
  EXPECT_DOUBLE_EQ(reading->keep_alive_price, 30);
  EXPECT_DOUBLE_EQ(reading->runtime_mb.at("replay"), 13);
  EXPECT_DOUBLE_EQ((reading->zygote_mb.at({"replay", "f0"})), 5);
  const auto older = parse_metrics("ebb_processors 2\n", {"replay"});
  ASSERT_FALSE(older);
  EXPECT_NE(older.error().message.find("ebb_memory_budget_bytes"), std::string::npos);
}

class LiveRun : public testing::Test {
 protected:
  LiveRun() : plan(plan_of(five_minutes_tenfold())) {
    measured.reading.runtime_mb["replay"] = 10;
    measured.reading.zygote_mb[{"replay", "f0"}] = 20;
    for (std::size_t i = 0; i < plan.calls.size(); ++i) {
      const base::InvocationId id = base::new_invocation_id();
      measured.outcomes.push_back({.answered = true, .ok = true, .has_id = true, .request = id, .latency = 60ms});
      measured.records.push_back({.request_id = base::to_string(id),
                                  .function = "f0",
                                  .app = "replay",
                                  .rung = i == 0 ? "fork" : "idle",
                                  .outcome = "ok",
                                  .closed = true,
                                  .queue_ms = 1,
                                  .start_ms = 2,
                                  .handler_ms = 50,
                                  .memory_peak_mb = 2});
    }
  }
  const Plan plan;
  Measured measured;
};

TEST_F(LiveRun, MatchesEveryCallWithItsRecord) {
  const Live live = live_of(plan, measured);
  EXPECT_TRUE(live.records_equal_calls());
  EXPECT_EQ(live.records, 30U);
  EXPECT_EQ(live.totals.from_fork, 1U);
  EXPECT_EQ(live.totals.from_idle, 29U);
  EXPECT_NEAR(live.totals.added.mean(), 3, 0.1);
  EXPECT_NEAR(live.added_for_caller.at(0.5), 10, 1);
  // 30 calls of 50 ms with (10 + 20 + 2) MB; none ends after the stretch but one that began at its very end.
  EXPECT_NEAR(live.totals.used_gbs, 30 * 0.050 * 32 / 1024, 0.003);
}

TEST_F(LiveRun, CountsWhatHasNoRecordAndWhatHasNoCall) {
  measured.records[3].request_id = "another";
  const Live live = live_of(plan, measured);
  EXPECT_EQ(live.records_missing, 1U);
  EXPECT_EQ(live.records_beyond, 1U);
  EXPECT_FALSE(live.records_equal_calls());
}

TEST_F(LiveRun, RecordStillOpenIsMissing) {
  measured.records[3].closed = false;
  EXPECT_EQ(live_of(plan, measured).records_missing, 1U);
}

TEST_F(LiveRun, FailedCallIsAnErrorAndItsRecordIsNoSurplus) {
  measured.outcomes[3].ok = false;
  measured.first_error = "out of memory";
  const Live live = live_of(plan, measured);
  EXPECT_EQ(live.errors, 1U);
  EXPECT_EQ(live.totals.answered, 29U);
  EXPECT_TRUE(live.records_equal_calls());
}

TEST_F(LiveRun, IsReportedBesideItsPrediction) {
  const auto predicted = predict(plan, sim::default_calibration(), {});
  ASSERT_TRUE(predicted);
  const Comparison comparison{.trace = "day.csv",
                              .plan = plan,
                              .room = kRoom,
                              .calibrated_on = "a test",
                              .live = live_of(plan, measured),
                              .predicted = *predicted};
  const std::string table = to_table(comparison);
  EXPECT_NE(table.find("30 of 30 calls answered, none beyond"), std::string::npos) << table;
  const std::string json = to_json_text(comparison);
  EXPECT_NE(json.find("\"equal_calls\":true"), std::string::npos) << json;
  EXPECT_TRUE(replay_chart(comparison).ends_with("</svg>\n"));
}

}  // namespace
}  // namespace ebb::replay
