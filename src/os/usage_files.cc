#include "os/usage_files.h"

#include <unistd.h>

#include <cerrno>

#include "os/file.h"

namespace ebb::os {

base::Result<std::uint64_t> read_cpu_ns(const Fd& cpu) {
  EBB_TRY(const std::string text, read_start(cpu));
  if (base::Result<std::uint64_t> usec = number_in(text, "usage_usec")) return *usec * 1000;
  return number_in(text, "");
}

base::Result<std::uint64_t> read_memory_peak(const Fd& memory_peak) {
  EBB_TRY(const std::string text, read_start(memory_peak));
  return number_in(text, "");
}

base::Result<> reset_memory_peak(const Fd& memory_peak) {
  if (::pwrite(memory_peak.get(), "0\n", 2, 0) == 2) return {};
  return base::unavailable("this kernel cannot reset a cgroup's memory peak");
}

}  // namespace ebb::os
