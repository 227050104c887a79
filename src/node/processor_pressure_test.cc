// Goal: the processors are full when the kernel says that work waited for them, and only then. Method: a file in the
// kernel's format, its total moved on by hand; then the kernel's own.
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

class ProcessorPressureTest : public testing::Test {
 protected:
  ProcessorPressureTest() : path_(testing::TempDir() + "pressure-" + std::to_string(::getpid())) { write(0us); }
  ~ProcessorPressureTest() override { std::remove(path_.c_str()); }
  void write(std::chrono::microseconds total) {
    std::ofstream(path_) << "some avg10=0.00 avg60=0.00 avg300=0.00 total=" << total.count()
                         << "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  }
  const std::string path_;
  sched::Processors processors_{2};
};

TEST_F(ProcessorPressureTest, TheyAreFullWhileWorkWaitsForMuchOfTheTime) {
  ProcessorPressure pressure(processors_, path_);
  const base::SteadyTime begun{1h};
  pressure.look(begun);
  EXPECT_FALSE(processors_.full) << "since when, nobody knows";
  write(8ms);
  pressure.look(begun + 20ms);
  EXPECT_TRUE(processors_.full) << "8 of 20 ms";
  write(15ms);
  pressure.look(begun + 30ms);
  EXPECT_TRUE(processors_.full) << "too soon to tell";
  pressure.look(begun + 40ms);
  EXPECT_FALSE(processors_.full) << "7 of 20 ms";
  write(1s);
  pressure.look(begun + 291ms);
  EXPECT_FALSE(processors_.full) << "too long ago";
  write(1s + 20ms);
  pressure.look(begun + 311ms);
  EXPECT_TRUE(processors_.full);
}

TEST_F(ProcessorPressureTest, WithoutTheKernelsAccountTheyAreNeverFull) {
  ProcessorPressure none(processors_, path_ + "-none");
  none.look();
  EXPECT_FALSE(processors_.full);
  processors_.full = true;
  std::ofstream(path_) << "nothing of the kind\n";
  ProcessorPressure other(processors_, path_);
  other.look();
  EXPECT_FALSE(processors_.full);
}

}  // namespace
}  // namespace ebb::node
