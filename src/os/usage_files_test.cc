// Goal: the processor time and the memory peak are read from both kinds of cgroup files, however long these are.
// Method: files with what kernels write, read through descriptors whose offset is somewhere else.
#include "os/usage_files.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace ebb::os {
namespace {

Fd file_of(std::string_view text) {
  Fd file(::memfd_create("usage", MFD_CLOEXEC));
  EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return file;
}

TEST(UsageFiles, ProcessorTimeOfVersion1IsInNanoseconds) {
  EXPECT_EQ(read_cpu_ns(file_of("8709107241\n")).value(), 8'709'107'241u);
  EXPECT_EQ(read_cpu_ns(file_of("18446744073709551615\n")).value(), ~std::uint64_t{0});
}

TEST(UsageFiles, ProcessorTimeOfVersion2IsInItsFirstLine) {
  std::string text = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
  EXPECT_EQ(read_cpu_ns(file_of(text)).value(), 1'500'000u);
  while (text.size() < 10'000) text += "nr_throttled 7\n";
  EXPECT_EQ(read_cpu_ns(file_of(text)).value(), 1'500'000u);
}

TEST(UsageFiles, TheMemoryPeakIsANumberOfBytes) {
  EXPECT_EQ(read_memory_peak(file_of("27271168\n")).value(), 27'271'168u);
}

TEST(UsageFiles, WhatIsNoNumberIsAnError) {
  EXPECT_FALSE(read_cpu_ns(file_of("")));
  EXPECT_FALSE(read_cpu_ns(file_of("usage_usec\n")));
  EXPECT_FALSE(read_cpu_ns(file_of("user_usec 1\n")));
  EXPECT_FALSE(read_memory_peak(file_of("max\n")));
  EXPECT_FALSE(read_memory_peak(Fd()));
}

}  // namespace
}  // namespace ebb::os
