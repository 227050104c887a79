// Goal: traces in the form of the Azure Functions 2019 data set are read by their column names, whatever is missing is
// filled as trace.h says, and what is malformed is named with file and line. Method: small files made here.
#include "sim/trace.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sim/calibration.h"
#include "sim/chart.h"
#include "sim/report.h"
#include "sim/steady_trace.h"

namespace ebb::sim {
namespace {

using namespace std::chrono_literals;

constexpr const char* kRunHeader =
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_"
    "Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n";
constexpr const char* kMemoryHeader = "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\n";

struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ebb-trace-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

TEST(Trace, IsReadByColumnNamesFromTheFilesBesideIt) {
  const Folder folder;
  const std::string counts = folder.write("invocations_per_function_md.anon.d01.csv",
                                          "Trigger,HashOwner,HashApp,HashFunction,1,2,3\r\n"
                                          "timer,o,a,f,1,0,2\r\nhttp,o,a,g,0,5,0\r\nhttp,o,b,h,1,1,1\r\n");
  folder.write("function_durations_percentiles.anon.d01.csv",
               std::string(kRunHeader) + "o,a,f,10,3,1,20,1,1,5,10,15,20,20\no,a,g,10,3,1,20,30,20,-5,10,15,20,20\n");
  folder.write("app_memory_percentiles.anon.d01.csv", std::string(kMemoryHeader) + "o,a,10,100,80\n");
  const auto trace = read_trace({.invocations = counts});
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->functions.size(), 3U);
  EXPECT_EQ(trace->apps, 2U);
  EXPECT_EQ(trace->minutes, 3U);
  EXPECT_EQ(trace->calls(), 11U);
  const TraceFunction& f = trace->functions[0];
  EXPECT_EQ(f.name, "a/f");
  EXPECT_TRUE(f.regular) << "a timer by its trigger";
  EXPECT_EQ(f.run_ms.at(0.5), 10);
  EXPECT_EQ(f.run_ms.at(0.625), 12.5);
  EXPECT_EQ(f.memory_mb, 100);
  EXPECT_EQ(f.memory_low_mb, 80);
  EXPECT_EQ(trace->functions[1].run_ms.at(0), 30);
  EXPECT_EQ(trace->functions[1].run_ms.at(1), 30) << "falling percentiles are raised";
  const TraceFunction& h = trace->functions[2];
  EXPECT_EQ(h.memory_mb, 100) << "an app without memory takes the median of the others";
  EXPECT_GT(h.run_ms.at(0.5), 0);
  EXPECT_EQ(excerpt(*trace, 1, 10).calls(), 9U);
}

TEST(Trace, RegularityIsFoundInTheRecord) {
  const Folder folder;
  std::string header = "HashFunction,HashOwner,HashApp";
  std::string timer = "t,o,a";
  std::string random = "r,o,a";
  for (int minute = 1; minute <= 120; ++minute) {
    header += ",minute_" + std::to_string(minute);
    timer += minute % 5 == 0 ? ",1" : ",0";
    random += minute * minute % 7 < 2 ? "," + std::to_string(minute % 3 + 1) : ",0";
  }
  const std::string counts = folder.write("x_inv.csv", header + "\n" + timer + "\n" + random + "\n");
  folder.write("x_run.csv", std::string(kRunHeader) + "o,a,t,10,3,1,20,1,1,5,10,15,20,20\n");
  folder.write("x_mem.csv", std::string(kMemoryHeader) + "o,a,10,100,80\n");
  const auto trace = read_trace({.invocations = counts});
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_TRUE(trace->functions[0].regular);
  EXPECT_FALSE(trace->functions[1].regular);
}

TEST(Trace, WhatIsMalformedIsNamed) {
  const Folder folder;
  const auto message = [&](const std::string& counts) {
    const auto trace = read_trace({.invocations = folder.write("y_inv.csv", counts),
                                   .durations = folder.path + "/y_run.csv",
                                   .memory = folder.path + "/y_mem.csv"});
    return trace ? std::string() : trace.error().message;
  };
  folder.write("y_run.csv", std::string(kRunHeader) + "o,a,f,10,3,1,20,1,1,5,10,15,20,20\n");
  folder.write("y_mem.csv", std::string(kMemoryHeader) + "o,a,10,100,80\n");
  EXPECT_EQ(message("HashOwner,HashApp,HashFunction,1\no,a,f,1\n"), "");
  EXPECT_NE(message("HashOwner,HashApp,HashFunction,1\no,a,f,x\n").find("y_inv.csv line 2: 'x'"), std::string::npos);
  EXPECT_NE(message("HashOwner,HashApp,HashFunction,1\no,a,f,-1\n").find("line 2"), std::string::npos);
  EXPECT_NE(message("HashOwner,HashApp,HashFunction,1\no,a,f,nan\n").find("line 2"), std::string::npos);
  EXPECT_NE(message("HashOwner,HashApp,HashFunction,1\no,a,f\n").find("has 3 fields"), std::string::npos);
  EXPECT_NE(message("HashOwner,HashApp,HashFunction\no,a,f\n").find("minute_1"), std::string::npos);
  EXPECT_NE(message("HashOwner,HashApp,1\no,a,1\n").find("no column HashFunction"), std::string::npos);
  EXPECT_NE(message("").find("no line"), std::string::npos);
  const auto absent = read_trace({.invocations = "/nonexistent_inv.csv"});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, base::Code::kNotFound);
  EXPECT_FALSE(read_trace({.invocations = folder.path + "/other.csv"})) << "the files beside it cannot be named";
}

TEST(Calibration, SurvivesItsOwnTextAndRefusesOthers) {
  const Calibration made = default_calibration();
  const auto read = parse_calibration(to_json_text(made));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->measured_on, made.measured_on);
  EXPECT_NEAR(read->fork_ms.at(0.9), made.fork_ms.at(0.9), 0.001);
  EXPECT_EQ(read->runtime_mb, made.runtime_mb);
  for (const char* wrong : {"", "[]", "{}", R"({"idle_ms": [[2, 1]]})", R"({"idle_ms": "x"})"})
    EXPECT_FALSE(parse_calibration(wrong)) << wrong;
}

TEST(Calibration, ComesFromUsageRecordsByTheirRung) {
  const auto made = calibrate(R"({"records": [
      {"rung": "fork", "state": "closed", "queue_ms": 1.0, "start_ms": 4.0, "init_ms": 0.1},
      {"rung": "fork", "state": "closed", "queue_ms": 0.0, "start_ms": 7.0, "init_ms": 0.1},
      {"rung": "fork", "state": "closed", "queue_ms": 0.0, "start_ms": 6.0, "init_ms": 95.0},
      {"rung": "boot", "state": "closed", "queue_ms": 0.0, "start_ms": 300, "init_ms": 80.0},
      {"rung": "fork", "state": "open"}]})",
                              default_calibration(), "here");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->fork_ms.at(0), 5);
  EXPECT_EQ(made->fork_ms.at(1), 7);
  EXPECT_EQ(made->boot_ms.at(0.5), 300);
  EXPECT_EQ(made->init_ms.at(0.5), 80);
  EXPECT_EQ(made->program_ms.at(0.5), 95) << "a fork that loads for long: each instance starts a program";
  EXPECT_EQ(made->runtime_ms.at(0.5), default_calibration().runtime_ms.at(0.5)) << "no record of it";
  EXPECT_FALSE(calibrate("{}", default_calibration(), ""));
  EXPECT_FALSE(calibrate(R"({"records": []})", default_calibration(), ""));
}

TEST(Report, ShowsEveryPolicyAndTheChartEveryCurve) {
  const Trace trace = steady_trace({.minutes = 30, .calls_per_minute = 2, .run_ms = 300});
  Report report{.trace = "x.csv", .functions = 1, .minutes = 30, .options = {.programs = 1}};
  for (const PolicyOptions& policy : standard_policies(kDefaultPrice, 100, true)) {
    auto outcome = run_experiment(trace, default_calibration(), policy, report.options);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->totals.arrived, 60U);
    report.outcomes.push_back(std::move(*outcome));
  }
  const std::string table = to_table(report);
  const std::string json = to_json_text(report);
  for (const Outcome& outcome : report.outcomes) {
    EXPECT_NE(table.find("\n" + outcome.policy.name + " "), std::string::npos);
    EXPECT_NE(json.find("\"policy\":\"" + outcome.policy.name + "\""), std::string::npos);
  }
  EXPECT_NE(table.find("\nSPARES "), std::string::npos);
  EXPECT_EQ(to_table({.trace = "x.csv", .outcomes = report.outcomes}).find("SPARES"), std::string::npos);
  const std::string chart = day_chart(report);
  std::size_t curves = 0;
  for (std::size_t at = chart.find("<polyline"); at != std::string::npos; at = chart.find("<polyline", at + 1))
    ++curves;
  EXPECT_EQ(curves, 9U) << "one of traffic, four of capacity, four of cost";
  EXPECT_EQ(chart.find("nan"), std::string::npos);
  EXPECT_NE(frontier_chart(report).find("greedy-dual"), std::string::npos);
}

}  // namespace
}  // namespace ebb::sim
