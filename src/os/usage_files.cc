#include "os/usage_files.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "os/file.h"

namespace ebb::os {

namespace {

constexpr std::string_view kUsage = "usage_usec";  // the first line of v2's
using Start = std::array<char, 128>;

}  // namespace

base::Result<std::uint64_t> read_cpu_ns(const Fd& cpu) {
  Start room;
  EBB_TRY(const std::string_view text, read_start(cpu, room));
  if (!text.starts_with(kUsage)) return number_in(text, "");
  EBB_TRY(const std::uint64_t usec, number_in(text, kUsage));
  return usec * 1000;
}

base::Result<std::uint64_t> read_memory_peak(const Fd& memory_peak) {
  Start room;
  EBB_TRY(const std::string_view text, read_start(memory_peak, room));
  return number_in(text, "");
}

base::Result<> reset_memory_peak(const Fd& memory_peak) {
  if (::pwrite(memory_peak.get(), "0\n", 2, 0) == 2) return {};
  return base::unavailable("this kernel cannot reset a cgroup's memory peak");
}

}  // namespace ebb::os
