// Goal: the probe tells the three kinds of hosts apart. Method: limits of a user namespace hold in it and below it
// only, so each case lowers them in one of its own. Needs root.
#include "os/user_namespaces.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clone.h"
#include "os/file.h"
#include "os/namespaces.h"

namespace ebb::os {
namespace {

struct Seen {
  bool probed;
  UserNamespaces level;
  char obstacle[128];
};

// What the probe says where at most `user_namespaces` more may be made below. The first is the one that root makes, the
// second the one in it.
Seen probe_where(const char* user_namespaces) {
  auto* seen =
      static_cast<Seen*>(::mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const auto child = clone_process(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
  if (!child) return {};
  if (child->pid == 0) {
    char go = 0;
    if (::read(ends[0], &go, 1) != 1 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) ::_exit(1);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(2);
    if (::mount("proc", "/proc", "proc", 0, nullptr) != 0) ::_exit(3);
    if (*user_namespaces != '\0' && !write_file("/proc/sys/user/max_user_namespaces", user_namespaces)) ::_exit(4);
    const auto probe = probe_user_namespaces(65'536);
    seen->probed = probe.has_value();
    if (probe) {
      seen->level = probe->level;
      probe->obstacle.copy(seen->obstacle, sizeof seen->obstacle - 1);
    }
    ::_exit(0);
  }
  EXPECT_TRUE(write_id_maps(child->pid, 0, 200'000));
  EXPECT_EQ(::write(ends[1], "g", 1), 1);
  int status = 0;
  ::waitpid(child->pid, &status, __WALL);
  EXPECT_EQ(status, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  const Seen result = *seen;
  ::munmap(seen, sizeof(Seen));
  return result;
}

TEST(UserNamespaces, AreForAllRootOrNobody) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const Seen all = probe_where("");
  EXPECT_TRUE(all.probed);
  EXPECT_EQ(all.level, UserNamespaces::kForAll) << all.obstacle;
  const Seen root = probe_where("1");
  EXPECT_TRUE(root.probed);
  EXPECT_EQ(root.level, UserNamespaces::kForRoot) << root.obstacle;
  const Seen none = probe_where("0");
  EXPECT_TRUE(none.probed);
  EXPECT_EQ(none.level, UserNamespaces::kNone) << none.obstacle;
}

TEST(UserNamespaces, TheProbeSaysWhatFailed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto probe = probe_user_namespaces(1'879'048'192);
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->obstacle.empty(), probe->level == UserNamespaces::kForAll) << probe->obstacle;
}

}  // namespace
}  // namespace ebb::os
