// Goal: limits stand, usage reads true, nothing stays; on the host's real hierarchies (as root), and on a directory
// that looks like cgroup v2 for what this host cannot show.
#include "os/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "os/file.h"

namespace ebb::os {
namespace {

class RealCgroups : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const auto mountinfo = read_file("/proc/self/mountinfo");
    ASSERT_TRUE(mountinfo);
    auto found = CgroupTree::find("ebb-test-" + std::to_string(::getpid()), *mountinfo);
    ASSERT_TRUE(found) << found.error().message;
    tree_ = std::move(*found);
    ASSERT_TRUE(tree_->make_root());
    ASSERT_TRUE(tree_->make("app", CgroupTree::Place::kInner));
    ASSERT_TRUE(tree_->make("app/leaf", CgroupTree::Place::kLeaf));
  }
  void TearDown() override {
    if (!tree_) return;
    base::Result<> removed = tree_->remove_all("");
    for (int i = 0; i < 5000 && !removed; ++i) {
      tree_->kill_all("");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      removed = tree_->remove_all("");
    }
    EXPECT_TRUE(removed) << removed.error().message;
    EXPECT_TRUE(tree_->absent());
  }
  // A child that waits until it is in the leaf, then does `work`.
  template <typename Work>
  pid_t in_leaf(Work work) {
    int gate[2];
    EXPECT_EQ(::pipe(gate), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      char byte = 0;
      if (::read(gate[0], &byte, 1) != 1) ::_exit(1);
      work();
      ::_exit(0);
    }
    EXPECT_TRUE(tree_->admit("app/leaf", child));
    EXPECT_TRUE(tree_->contains("app", child));
    EXPECT_FALSE(tree_->contains("app/other", child));
    EXPECT_FALSE(tree_->contains("ap", child)) << "a prefix of a name is another name";
    EXPECT_EQ(::write(gate[1], "x", 1), 1);
    ::close(gate[0]);
    ::close(gate[1]);
    return child;
  }
  // Uses memory in a way that no compiler sees through.
  static void touch(std::size_t bytes) {
    std::vector<char> memory(bytes);
    for (std::size_t at = 0; at < bytes; at += 4096) static_cast<volatile char*>(memory.data())[at] = 1;
  }
  std::optional<CgroupTree> tree_;
};

TEST_F(RealCgroups, MemoryBeyondTheLimitIsAnOomKillThatIsCounted) {
  constexpr std::uint64_t kLimit = 32 << 20;
  ASSERT_TRUE(tree_->limit("app/leaf", {.memory_bytes = kLimit}));
  const pid_t child = in_leaf([] { touch(96 << 20); });
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  const CgroupUsage usage = tree_->usage("app/leaf");
  EXPECT_EQ(usage.oom_kills, 1u);
  EXPECT_LE(usage.memory_peak_bytes, kLimit);
  EXPECT_GT(usage.memory_peak_bytes, kLimit / 2);
}

TEST_F(RealCgroups, UsageFilesReadAndResetThePeakAndCountCpu) {
  auto files = tree_->open_usage("app/leaf");
  ASSERT_TRUE(files) << files.error().message;
  const pid_t child = in_leaf([] {
    touch(16 << 20);
    volatile unsigned spin = 0;
    for (unsigned i = 0; i < 50'000'000; ++i) spin = spin + 1;
  });
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const auto cpu = read_cpu_ns(files->cpu);
  ASSERT_TRUE(cpu);
  EXPECT_GT(*cpu, 1'000'000u);
  const auto peak = read_memory_peak(files->memory_peak);
  ASSERT_TRUE(peak);
  EXPECT_GT(*peak, 16u << 20);
  if (reset_memory_peak(files->memory_peak)) {
    const auto after = read_memory_peak(files->memory_peak);
    ASSERT_TRUE(after);
    EXPECT_LT(*after, *peak);
  }
}

TEST_F(RealCgroups, MembersAreKilledWhateverTheyMake) {
  // As a fork bomb: the first one ends, what it has made goes on making others.
  const pid_t child = in_leaf([] {
    for (int generation = 0; generation < 2; ++generation) static_cast<void>(::fork());
    for (;;) {
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(0);
      if (grandchild > 0) ::waitpid(grandchild, nullptr, 0);
    }
  });
  const auto members = [&] { return tree_->members("app/leaf").size(); };
  for (int i = 0; i < 5000 && members() < 4; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(members(), 4u);
  EXPECT_EQ(tree_->kill_members("app"), 0u) << "those below are not its own";
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  for (int i = 0; i < 5000 && tree_->kill_members("app/leaf") > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(members(), 0u);
}

TEST_F(RealCgroups, AGroupIsWeighed) {
  ASSERT_TRUE(tree_->weigh("app", 6));
  ASSERT_TRUE(tree_->weigh("app", 100));
  ASSERT_TRUE(tree_->weigh("", 200));
  EXPECT_FALSE(tree_->weigh("none", 100));
}

TEST_F(RealCgroups, PidsAreLimited) {
  ASSERT_TRUE(tree_->limit("app/leaf", {.cpu_millis = 500, .pids = 4}));
  const pid_t child = in_leaf([] {
    int made = 0;
    while (made < 10) {
      const pid_t grandchild = ::fork();
      if (grandchild < 0) break;
      if (grandchild == 0) {
        ::pause();
        ::_exit(0);
      }
      ++made;
    }
    ::_exit(made);
  });
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  // The child is one of the four, and a sanitizer may run a thread in it.
  EXPECT_GE(WEXITSTATUS(status), 1);
  EXPECT_LE(WEXITSTATUS(status), 3);
}

TEST_F(RealCgroups, AGroupWithAProcessIsNotRemovedAndKillAllEmptiesIt) {
  const pid_t child = in_leaf([] { ::pause(); });
  const auto busy = tree_->remove_all("");
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, base::Code::kUnavailable);
  EXPECT_EQ(tree_->members("app/leaf"), std::vector<pid_t>{child});
  EXPECT_EQ(tree_->kill_all(""), 1u);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  const auto gone = tree_->admit("app/leaf", child);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, base::Code::kNotFound);
}

// Whatever hierarchy freezes: nothing runs meanwhile, and SIGKILL ends what is frozen, at the latest with kill_all().
TEST_F(RealCgroups, AFrozenProcessStandsStillGoesOnAndCanBeKilled) {
  const pid_t child = in_leaf([] {
    volatile unsigned spin = 0;
    for (;;) spin = spin + 1;
  });
  const auto cpu = [&] { return tree_->usage("app/leaf").cpu_ns; };
  const auto stands_still = [&] {
    const std::uint64_t before = cpu();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return cpu() == before;
  };
  const auto eventually = [](const auto& condition) {
    for (int i = 0; i < 400; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  };
  EXPECT_TRUE(eventually([&] { return cpu() > 0; }));
  ASSERT_TRUE(tree_->freeze("app/leaf", true));
  EXPECT_TRUE(eventually(stands_still));
  ASSERT_TRUE(tree_->freeze("app/leaf", false));
  const std::uint64_t before = cpu();
  EXPECT_TRUE(eventually([&] { return cpu() > before; }));
  ASSERT_TRUE(tree_->freeze("app/leaf", true));
  EXPECT_EQ(tree_->kill_all(""), 1u);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  const auto missing = tree_->freeze("app/no-such-leaf", true);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Code::kNotFound);
}

// The same without a cgroup2 mount, where the host still has the freezer of cgroup v1.
TEST(Cgroups, TheFreezerOfCgroup1IsUsedWhereThereIsNoOther) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::ifstream all("/proc/self/mountinfo");
  std::string without_v2;
  bool freezer = false;
  for (std::string line; std::getline(all, line);) {
    if (line.find(" - cgroup2 ") != std::string::npos) continue;
    freezer = freezer || (line.find(" - cgroup ") != std::string::npos && line.ends_with("freezer"));
    without_v2 += line + "\n";
  }
  if (!freezer) GTEST_SKIP() << "this host has no cgroup v1 freezer";
  const auto tree = CgroupTree::find("ebb-test-v1-" + std::to_string(::getpid()), without_v2);
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_TRUE(tree->killing_needs_thaw());
  ASSERT_TRUE(tree->make_root());
  ASSERT_TRUE(tree->make("leaf", CgroupTree::Place::kLeaf));
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ASSERT_TRUE(tree->admit("leaf", child));
  ASSERT_TRUE(tree->freeze("leaf", true));
  ::kill(child, SIGKILL);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), 0) << "so it needs the thaw indeed";
  EXPECT_EQ(tree->kill_all(""), 1u);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  base::Result<> removed = tree->remove_all("");
  for (int i = 0; i < 1000 && !removed; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    removed = tree->remove_all("");
  }
  EXPECT_TRUE(removed);
}

TEST_F(RealCgroups, CheapMovesCanBeAskedForTwice) {
  const auto first = tree_->favour_moves();
  if (!first) GTEST_SKIP() << first.error().message;
  EXPECT_TRUE(tree_->favour_moves());
}

TEST(Cgroups, AMissingControllerIsNamed) {
  const auto tree =
      CgroupTree::find("t",
                       "31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
                       "32 30 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n");
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, base::Code::kUnavailable);
  EXPECT_NE(tree.error().message.find("'pids'"), std::string::npos);
}

TEST(Cgroups, PureV2WritesItsOwnFiles) {
  char pattern[] = "/tmp/ebb-cgroup2-XXXXXX";
  const std::string mount = ::mkdtemp(pattern);
  const auto put = [&](const std::string& file, const std::string& text) { std::ofstream(mount + file) << text; };
  const auto get = [&](const std::string& file) { return *read_file(mount + file); };
  put("/cgroup.controllers", "cpuset cpu io memory pids\n");
  put("/cgroup.subtree_control", "");
  const auto tree = CgroupTree::find("t", "31 30 0:28 / " + mount + " rw - cgroup2 cgroup2 rw,nsdelegate\n");
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_TRUE(tree->pure_v2());
  ::mkdir((mount + "/t").c_str(), 0755);
  put("/t/cgroup.subtree_control", "");
  ASSERT_TRUE(tree->make_root());
  EXPECT_EQ(get("/cgroup.subtree_control"), "+memory +cpu +pids ");
  EXPECT_EQ(get("/t/cgroup.subtree_control"), "+memory +cpu +pids ");
  ASSERT_TRUE(tree->make("leaf", CgroupTree::Place::kLeaf));
  for (const char* file : {"memory.max", "memory.swap.max", "cpu.max", "pids.max"})
    put(std::string("/t/leaf/") + file, "");
  ASSERT_TRUE(tree->limit("leaf", {.memory_bytes = 1024, .cpu_millis = 250, .pids = 9}));
  EXPECT_EQ(get("/t/leaf/memory.max"), "1024");
  EXPECT_EQ(get("/t/leaf/memory.swap.max"), "0");
  EXPECT_EQ(get("/t/leaf/cpu.max"), "25000 100000");
  EXPECT_EQ(get("/t/leaf/pids.max"), "9");
  put("/t/leaf/cpu.max", "");
  ASSERT_TRUE(tree->lift_cpu_limit("leaf"));
  EXPECT_EQ(get("/t/leaf/cpu.max"), "max");
  put("/t/leaf/cgroup.kill", "");
  EXPECT_EQ(tree->kill_members("leaf"), 0u);
  EXPECT_EQ(get("/t/leaf/cgroup.kill"), "") << "nobody is in there";
  const pid_t member = ::fork();
  if (member == 0) {
    ::pause();
    ::_exit(0);
  }
  put("/t/leaf/cgroup.procs", std::to_string(member) + "\n");
  EXPECT_EQ(tree->kill_members("leaf"), 1u);
  EXPECT_EQ(get("/t/leaf/cgroup.kill"), "1") << "all at once, by the kernel";
  EXPECT_EQ(::waitpid(member, nullptr, WNOHANG), 0) << "and not one by one besides";
  ::kill(member, SIGKILL);
  ::waitpid(member, nullptr, 0);
  put("/t/leaf/cpu.weight", "");
  ASSERT_TRUE(tree->weigh("leaf", 6));
  EXPECT_EQ(get("/t/leaf/cpu.weight"), "6");
  put("/t/cpu.weight", "");
  ASSERT_TRUE(tree->weigh("", 200));
  EXPECT_EQ(get("/t/cpu.weight"), "200") << "of the whole tree beside the host's";
  const auto stood_back = tree->stand_back("leaf", true);
  ASSERT_FALSE(stood_back);  // an old kernel has no such file
  EXPECT_EQ(stood_back.error().code, base::Code::kNotFound);
  put("/t/leaf/cpu.idle", "");
  ASSERT_TRUE(tree->stand_back("leaf", true));
  EXPECT_EQ(get("/t/leaf/cpu.idle"), "1");
  put("/t/leaf/cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
  put("/t/leaf/memory.peak", "77\n");
  put("/t/leaf/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
  const CgroupUsage usage = tree->usage("leaf");
  EXPECT_EQ(usage.cpu_ns, 1'500'000u);
  EXPECT_EQ(usage.memory_peak_bytes, 77u);
  EXPECT_EQ(usage.oom_kills, 2u);
  std::filesystem::remove_all(mount);
}

}  // namespace
}  // namespace ebb::os
