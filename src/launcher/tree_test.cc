// Goal: no hostile tree makes sealing or removing reach outside of it, or stop half-way. Poller: what is forgotten
// stays so.
#include "launcher/tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/limits.h"
#include "launcher/poller.h"
#include "launcher/worker.h"
#include "os/path.h"

namespace ebb::launcher {
namespace {

class TreeTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/ebb-tree-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    parent_ = *os::open_directory(directory_.c_str());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  os::Fd parent_;
};

TEST_F(TreeTest, RemovalFollowsNoLinkAndMindsNoDepth) {
  std::ofstream(directory_ + "/outside") << "kept";
  std::filesystem::create_directories(directory_ + "/tree/full");
  std::filesystem::create_symlink(directory_ + "/outside", directory_ + "/tree/file");
  std::filesystem::create_directory_symlink(directory_, directory_ + "/tree/full/up");
  // Deeper than a path can be, and than we may have descriptors.
  os::Fd at(::openat(parent_.get(), "tree", O_RDONLY | O_DIRECTORY));
  for (int depth = 0; depth < 3000; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), "deeper", 0755), 0);
    std::ofstream("/proc/self/fd/" + std::to_string(at.get()) + "/file") << "x";
    at = os::Fd(::openat(at.get(), "deeper", O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(at.valid());
  }
  const auto removed = remove_tree(parent_, "tree");
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/tree"));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/outside"));
  EXPECT_TRUE(remove_tree(parent_, "tree")) << "a missing tree is fine";
  std::filesystem::create_directory_symlink("/etc", directory_ + "/link");
  EXPECT_TRUE(remove_tree(parent_, "link"));
  EXPECT_TRUE(std::filesystem::exists("/etc/passwd"));
}

TEST_F(TreeTest, SealingTouchesNoLinksTargetAndRefusesDepth) {
  std::ofstream(directory_ + "/outside") << "secret";
  ASSERT_EQ(::chmod((directory_ + "/outside").c_str(), 0600), 0);
  std::filesystem::create_directories(directory_ + "/tree/d");
  std::filesystem::create_symlink(directory_ + "/outside", directory_ + "/tree/link");
  std::ofstream(directory_ + "/tree/d/file") << "x";
  ASSERT_EQ(::chmod((directory_ + "/tree/d/file").c_str(), 06602), 0);
  ASSERT_EQ(::chmod((directory_ + "/tree/d").c_str(), 01333), 0);
  ASSERT_EQ(::mkfifo((directory_ + "/tree/d/fifo").c_str(), 0666), 0);
  const os::Fd root(::openat(parent_.get(), "tree", O_RDONLY | O_DIRECTORY));
  const auto sealed = seal_tree(root, {.uid = ::geteuid(), .gid = ::getegid()});
  ASSERT_TRUE(sealed) << sealed.error().message;
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/outside").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_EQ(::stat((directory_ + "/tree/d").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u);
  ASSERT_EQ(::stat((directory_ + "/tree/d/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/tree/d/fifo"));
  std::string deep = directory_ + "/tree";
  for (std::size_t i = 0; i <= limits::kTreeDepth; ++i) deep += "/d";
  std::filesystem::create_directories(deep);
  const auto refused = seal_tree(root, {.uid = ::geteuid(), .gid = ::getegid()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kTooLarge);
}

TEST(PollerTest, WhatIsForgottenInAHandlerIsNotCalledForAnEventAlreadyFetched) {
  auto poller = Poller::open();
  ASSERT_TRUE(poller);
  int pipes[2][2];
  int calls = 0;
  for (auto& ends : pipes) {
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(::write(ends[1], "x", 1), 1);
  }
  for (auto& ends : pipes) {
    ASSERT_TRUE(poller->watch(ends[0], [&] {
      ++calls;
      poller->forget(pipes[0][0]);
      poller->forget(pipes[1][0]);
    }));
  }
  poller->turn();
  EXPECT_EQ(calls, 1);
  for (auto& ends : pipes) {
    ::close(ends[0]);
    ::close(ends[1]);
  }
}

TEST(PollerTest, TimersRunInOrderAndACancelledOneDoesNot) {
  auto poller = Poller::open();
  ASSERT_TRUE(poller);
  std::string order;
  poller->after(std::chrono::milliseconds(2), [&] { order += "c"; });
  Poller::Timer never = poller->after(std::chrono::milliseconds(1), [&] { order += "x"; });
  poller->after(std::chrono::milliseconds(0), [&] { order += "a"; });
  poller->cancel(never);
  poller->cancel(never);
  EXPECT_EQ(never, Poller::Timer::kNone);
  poller->when_idle([&] { order += "b"; });
  while (order.size() < 3) poller->turn();
  EXPECT_NE(order.find('c'), std::string::npos);
  EXPECT_LT(order.find('a'), order.find('c'));
  EXPECT_EQ(order.find('x'), std::string::npos);
}

TEST(WorkersTest, TheResultComesBackAndTheUnfinishedAreKilled) {
  auto poller = Poller::open();
  ASSERT_TRUE(poller);
  int results = 0;
  {
    Workers workers(*poller);
    ASSERT_TRUE(workers.start([] { return 0; }, [&](bool fine) { results += fine ? 1 : 100; }));
    ASSERT_TRUE(workers.start([] { return 4; }, [&](bool fine) { results += fine ? 100 : 10; }));
    while (results != 11) poller->turn();
    ASSERT_TRUE(workers.start(
        [] {
          ::pause();
          return 0;
        },
        [&](bool) { results += 1000; }));
  }
  EXPECT_EQ(results, 11);
}

}  // namespace
}  // namespace ebb::launcher
