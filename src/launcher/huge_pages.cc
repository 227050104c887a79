#include "launcher/huge_pages.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

#include "base/clock.h"
#include "base/limits.h"
#include "os/file.h"

namespace ebb::launcher {
namespace {

constexpr std::uint64_t kHugePage = 2 << 20;
constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kPagesPerHuge = kHugePage / kPage;
constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
constexpr int kMadviseCollapse = 25;  // Linux 6.1; newer than libc's headers

// A half-empty huge page would cost more memory than it saves time.
bool well_filled(const os::Fd& pagemap, std::uint64_t address) {
  std::array<std::uint64_t, kPagesPerHuge> entries;
  const auto offset = static_cast<off_t>(address / kPage * sizeof(std::uint64_t));
  if (::pread(pagemap.get(), entries.data(), sizeof entries, offset) != sizeof entries) return false;
  const auto present =
      std::count_if(entries.begin(), entries.end(), [](std::uint64_t e) { return (e & kPresent) != 0; });
  return present >= static_cast<std::ptrdiff_t>(kPagesPerHuge / 2);
}

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Private, writable, anonymous, not a stack; cut to whole huge pages.
bool candidate(const std::string& line, Range& range) {
  char permissions[5] = {};
  std::uint64_t offset = 0;
  std::uint64_t inode = 0;
  unsigned major = 0;
  unsigned minor = 0;
  if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &range.begin, &range.end,
                  permissions, &offset, &major, &minor, &inode) != 7) {
    return false;
  }
  if (permissions[1] != 'w' || permissions[3] != 'p' || inode != 0 || line.find("[stack") != std::string::npos) {
    return false;
  }
  range.begin = (range.begin + kHugePage - 1) / kHugePage * kHugePage;
  range.end = range.end / kHugePage * kHugePage;
  return range.begin < range.end;
}

}  // namespace

int collapse_memory(pid_t pid, const os::Fd& pidfd) {
  const std::string process = "/proc/" + std::to_string(pid);
  const base::Result<std::string> maps = os::read_file(process + "/maps");
  const os::Fd pagemap(::open((process + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  if (!maps || !pagemap.valid()) return 1;
  const base::SteadyTime deadline = base::steady_now() + limits::kCollapseTimeout;
  std::istringstream lines(*maps);
  for (std::string line; std::getline(lines, line);) {
    Range range;
    if (!candidate(line, range)) continue;
    for (std::uint64_t at = range.begin; at < range.end; at += kHugePage) {
      if (base::steady_now() > deadline) return 1;
      if (!well_filled(pagemap, at)) continue;
      const iovec part{.iov_base = reinterpret_cast<void*>(at), .iov_len = kHugePage};
      // A refusal (no free huge page, the process has gone) concerns this range only.
      static_cast<void>(::process_madvise(pidfd.get(), &part, 1, kMadviseCollapse, 0));
    }
  }
  return 0;
}

}  // namespace ebb::launcher
