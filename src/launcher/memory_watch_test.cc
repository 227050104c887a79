// Goal: that memory is short is seen before it is gone, and looking for it costs little. Method: the rule of the pauses
// alone; then a group of processes that use more and less than the bound, seen through the kernel's counters.
#include "launcher/memory_watch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>

#include "os/file.h"

namespace ebb::launcher {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1 << 20;

TEST(MemoryWatch, LooksBeforeWhatIsLeftCanBeUsedUp) {
  EXPECT_EQ(pause_before_look(0, 5us, 2), 10ms);
  EXPECT_EQ(pause_before_look(200 * kMiB, 5us, 2), 50ms);
  EXPECT_EQ(pause_before_look(200 * kMiB, 5us, 5), 20ms) << "more processors use it up sooner";
  EXPECT_EQ(pause_before_look(std::uint64_t{1} << 50, 5us, 2), 500ms);
}

TEST(MemoryWatch, ManyGroupsAreSeldomAddedUp) {
  EXPECT_EQ(pause_before_look(0, 1ms, 2), 50ms) << "a fiftieth of the time";
  EXPECT_EQ(pause_before_look(0, 1s, 2), 500ms);
}

class Groups : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const base::Result<std::string> mountinfo = os::read_file("/proc/self/mountinfo");
    ASSERT_TRUE(mountinfo);
    base::Result<os::CgroupTree> found = os::CgroupTree::find("ebb-watch-" + std::to_string(::getpid()), *mountinfo);
    ASSERT_TRUE(found) << found.error().message;
    cgroups_.emplace(*std::move(found));
    ASSERT_TRUE(cgroups_->make_root());
    ASSERT_TRUE(cgroups_->make("one", os::CgroupTree::Place::kLeaf));
  }
  void TearDown() override {
    if (!cgroups_) return;
    const base::Result<> removed = cgroups_->remove_all("");
    EXPECT_TRUE(removed) << removed.error().message;
  }

  std::optional<os::CgroupTree> cgroups_;
};

// A child that holds so much memory in the group until it is ended.
class Holder {
 public:
  Holder(const os::CgroupTree& cgroups, std::uint64_t bytes) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      static_cast<void>(!cgroups.admit("one", ::getpid()));
      // Touched by the kernel: what is written here, a sanitizer would write down in more memory.
      constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
      if (::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0) == MAP_FAILED) ::_exit(1);
      static_cast<void>(!::write(ready[1], "", 1));
      ::pause();
      ::_exit(0);
    }
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Holder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  pid_t pid_ = 0;
};

// Turns for `period`; how often memory was said to be short.
int times_short(const os::CgroupTree& cgroups, std::uint64_t budget, std::chrono::milliseconds period) {
  base::Result<Poller> poller = Poller::open();
  EXPECT_TRUE(poller);
  int times = 0;
  const MemoryWatch watch(*poller, cgroups, budget, [&times] { ++times; });
  bool over = false;
  poller->after(period, [&over] { over = true; });
  while (!over) poller->turn();
  return times;
}

TEST_F(Groups, SaysSoWhileMemoryIsShort) {
  const Holder holder(*cgroups_, 64 * kMiB);
  EXPECT_GE(times_short(*cgroups_, 66 * kMiB, 300ms), 2) << "more than nine tenths";
  EXPECT_EQ(times_short(*cgroups_, 128 * kMiB, 300ms), 0);
  EXPECT_EQ(times_short(*cgroups_, 0, 300ms), 0) << "no bound, nothing to be short of";
}

}  // namespace
}  // namespace ebb::launcher
