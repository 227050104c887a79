#include "os/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace ebb::os {

std::uint64_t raise_open_files() {
  constexpr rlim_t kMost = 1 << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit above{.rlim_cur = std::max(limit.rlim_max, kMost), .rlim_max = std::max(limit.rlim_max, kMost)};
  if (::setrlimit(RLIMIT_NOFILE, &above) != 0) {
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
  }
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

}  // namespace ebb::os
