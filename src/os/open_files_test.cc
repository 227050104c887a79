// Goal: a process gets all the open files that it may have. Method: children with low limits, with and without the
// right to raise them.
#include "os/open_files.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ebb::os {
namespace {

// What a child has afterwards that began with a soft limit of 64 and a hard one of 256.
std::uint64_t raised(bool privileged) {
  int result[2];
  EXPECT_EQ(::pipe(result), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit low{.rlim_cur = 64, .rlim_max = 256};
    if (::setrlimit(RLIMIT_NOFILE, &low) != 0 || (!privileged && ::setuid(65534) != 0)) ::_exit(1);
    const std::uint64_t now = raise_open_files();
    ::_exit(::write(result[1], &now, sizeof now) == sizeof now ? 0 : 1);
  }
  std::uint64_t now = 0;
  ::close(result[1]);
  EXPECT_EQ(::read(result[0], &now, sizeof now), static_cast<ssize_t>(sizeof now));
  ::close(result[0]);
  ::waitpid(child, nullptr, 0);
  return now;
}

TEST(OpenFiles, WhoMayRaiseTheHardLimitHasAMillion) {
  if (::geteuid() != 0 || ::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) != 1) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  EXPECT_EQ(raised(true), 1u << 20);
}

TEST(OpenFiles, OthersHaveTheirHardLimit) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(raised(false), 256u);
}

}  // namespace
}  // namespace ebb::os
