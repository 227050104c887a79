// Goal: the processors are full when the kernel says that work waited for them, and only then. Method: files in
// the kernel's format, moved on by hand.
#include "node/processor_pressure.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

TEST(StalledTotal, IsThatOfTheFirstLine) {
  EXPECT_EQ(stalled_total(
                "some avg10=0.00 avg60=1.20 avg300=0.33 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"),
            12345us);
  EXPECT_EQ(stalled_total(""), std::nullopt);
  EXPECT_EQ(stalled_total("some avg10=0.00\nfull total=7\n"), std::nullopt);
  EXPECT_EQ(stalled_total("full avg10=0.00 total=7\n"), std::nullopt);
  EXPECT_EQ(stalled_total("some total=x\n"), std::nullopt);
}

TEST(Runnable, IsTheFourthFieldUpToTheSlash) {
  EXPECT_EQ(runnable("0.20 0.18 0.12 3/80 11206\n"), 3u);
  EXPECT_EQ(runnable(""), std::nullopt);
  EXPECT_EQ(runnable("0.20 0.18 0.12 80 11206\n"), std::nullopt);
  EXPECT_EQ(runnable("1/2"), std::nullopt);
}

class ProcessorPressureTest : public testing::Test {
 protected:
  ProcessorPressureTest() {
    write(0us);
    runs(4);
  }
  ~ProcessorPressureTest() override {
    std::remove(files_.pressure.c_str());
    std::remove(files_.load.c_str());
  }
  void write(std::chrono::microseconds total) {
    std::ofstream(files_.pressure) << "some avg10=0.00 avg60=0.00 avg300=0.00 total=" << total.count()
                                   << "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  }
  void runs(int count) { std::ofstream(files_.load) << "0.20 0.18 0.12 " << count << "/80 11206\n"; }
  const std::string prefix_ = testing::TempDir() + "processors-" + std::to_string(::getpid());
  const ProcessorPressure::Files files_{.pressure = prefix_ + "-pressure", .load = prefix_ + "-load"};
  const base::SteadyTime begun_{1h};
  sched::Processors processors_{2};
};

TEST_F(ProcessorPressureTest, TheyAreFullWhileWorkWaitsForMuchOfTheTime) {
  ProcessorPressure pressure(processors_, files_);
  pressure.look(begun_);
  EXPECT_FALSE(processors_.full(begun_)) << "since when, nobody knows";
  write(8ms);
  pressure.look(begun_ + 20ms);
  EXPECT_TRUE(processors_.full(begun_ + 20ms)) << "8 of 20 ms";
  EXPECT_TRUE(processors_.full(begun_ + 79ms));
  EXPECT_FALSE(processors_.full(begun_ + 80ms)) << "nobody has looked since";
  write(15ms);
  pressure.look(begun_ + 30ms);
  pressure.look(begun_ + 40ms);
  EXPECT_FALSE(processors_.full(begun_ + 80ms)) << "too soon to tell, and then 7 of 20 ms";
  write(1s);
  pressure.look(begun_ + 291ms);
  EXPECT_FALSE(processors_.full(begun_ + 291ms)) << "too long ago";
  write(1s + 20ms);
  pressure.look(begun_ + 311ms);
  EXPECT_TRUE(processors_.full(begun_ + 311ms));
}

TEST_F(ProcessorPressureTest, WhoIsStoppedByALimitOfItsOwnWaitsForNoProcessor) {
  ProcessorPressure pressure(processors_, files_);
  pressure.look(begun_);
  write(20ms);
  runs(2);
  pressure.look(begun_ + 20ms);
  EXPECT_FALSE(processors_.full(begun_ + 20ms)) << "one, and who asks, for two processors";
  write(40ms);
  runs(3);
  pressure.look(begun_ + 40ms);
  EXPECT_TRUE(processors_.full(begun_ + 40ms));
}

TEST_F(ProcessorPressureTest, WithoutTheKernelsAccountTheyAreNeverFull) {
  ProcessorPressure none(processors_, {.pressure = files_.pressure + "-none", .load = files_.load});
  none.look(begun_);
  std::ofstream(files_.pressure) << "nothing of the kind\n";
  ProcessorPressure other(processors_, files_);
  other.look(begun_);
  other.look(begun_ + 20ms);
  EXPECT_FALSE(processors_.full(begun_ + 20ms));
}

}  // namespace
}  // namespace ebb::node
