// Goal: core threads are prompt while they use little, and only they. Method: the rule alone; then a child process with
// threads of both kinds, whose scheduling is asked of the kernel until it is as it should be.
#include "launcher/prompt_cores.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <thread>

#include "os/scheduling.h"

namespace ebb::launcher {
namespace {

using namespace std::chrono_literals;

TEST(PromptnessRule, WhoUsesMuchIsFairUntilItUsesLittle) {
  PromptnessRule rule;
  EXPECT_TRUE(rule.look(0.0, false));
  EXPECT_TRUE(rule.look(0.05, false));
  EXPECT_FALSE(rule.look(0.06, false));
  EXPECT_FALSE(rule.look(0.03, false)) << "not yet: it would flap";
  EXPECT_TRUE(rule.look(0.02, false));
  EXPECT_TRUE(rule.look(0.05, false));
}

TEST(PromptnessRule, BesideAFloodItMayUseMore) {
  PromptnessRule rule;
  EXPECT_FALSE(rule.look(0.3, false));
  EXPECT_TRUE(rule.look(0.3, true)) << "the flood has come";
  EXPECT_TRUE(rule.look(0.74, true));
  EXPECT_FALSE(rule.look(0.75, true)) << "whoever floods, it takes no more than this from functions";
  EXPECT_FALSE(rule.look(0.6, true));
  EXPECT_TRUE(rule.look(0.59, true));
  EXPECT_FALSE(rule.look(0.3, false)) << "the flood is over";
}

// A daemon with a core (its first thread), another named so, and one that is none. Work is told and threads are named
// through memory shared with the test.
struct Shared {
  std::atomic<bool> work{false};
  std::atomic<pid_t> core{0};
  std::atomic<pid_t> other{0};
};

void live(Shared& shared) {
  const auto loop = [&shared] {
    for (;;) {
      if (!shared.work) std::this_thread::sleep_for(5ms);
    }
  };
  std::thread([&, loop] {
    ::pthread_setname_np(::pthread_self(), "core-1");
    shared.core = ::gettid();
    loop();
  }).detach();
  std::thread([&, loop] {
    ::pthread_setname_np(::pthread_self(), "pool");
    shared.other = ::gettid();
    loop();
  }).detach();
  for (;;) ::pause();
}

class PromptCoresTest : public testing::Test {
 protected:
  void SetUp() override {
    bool permitted = false;
    std::thread([&] { permitted = os::schedule_promptly(::gettid()).has_value(); }).join();
    if (!permitted) GTEST_SKIP() << "needs CAP_SYS_NICE and real-time bandwidth";
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared_ = new (memory) Shared;
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) live(*shared_);
    while (shared_->core == 0 || shared_->other == 0) std::this_thread::sleep_for(1ms);
  }
  void TearDown() override {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::munmap(shared_, sizeof(Shared));
  }
  // Turns until `thread` is scheduled so, for 20 s at most.
  bool becomes(Poller& poller, pid_t thread, int policy) {
    const auto end = base::steady_now() + 20s;
    while (base::steady_now() < end) {
      if (::sched_getscheduler(thread) == policy) return true;
      Poller::Timer soon = poller.after(10ms, [] {});
      poller.turn();
      poller.cancel(soon);
    }
    return false;
  }

  Shared* shared_ = nullptr;
  pid_t child_ = 0;
};

TEST_F(PromptCoresTest, CoresArePromptUntilTheyComputeAndNobodyElseIs) {
  constexpr int kPrompt = SCHED_RR | SCHED_RESET_ON_FORK;
  auto poller = Poller::open();
  ASSERT_TRUE(poller);
  PromptCores cores(*poller, child_, [] { return false; });
  EXPECT_TRUE(becomes(*poller, child_, kPrompt));
  EXPECT_TRUE(becomes(*poller, shared_->core, kPrompt));
  EXPECT_EQ(::sched_getscheduler(shared_->other), SCHED_OTHER);
  shared_->work = true;
  EXPECT_TRUE(becomes(*poller, shared_->core, SCHED_BATCH));
  EXPECT_EQ(::sched_getscheduler(child_), kPrompt) << "it does nothing";
  shared_->work = false;
  EXPECT_TRUE(becomes(*poller, shared_->core, kPrompt));
  EXPECT_EQ(::sched_getscheduler(shared_->other), SCHED_OTHER);
}

}  // namespace
}  // namespace ebb::launcher
