// Goal: the launcher's promises (launcher.h, fleet.h) on a real kernel with the real Python runtime: walls are there,
// every request is answered, everything that ends is told, and nothing outlives whoever dies.
#include "launcher/launcher.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "launcher/launcher_harness.h"
#include "os/file.h"
#include "os/usage_files.h"

namespace ebb::launcher {
namespace {

using wire::LauncherType;
using wire::Subject;

constexpr const char* kProbe = R"(
import os, json, ssl
STATE = []
def handler(event, context):
    kind = event.get("do")
    if kind == "exit": os._exit(int(event["status"]))
    if kind == "eat":
        STATE.append(bytearray(event["bytes"])); return len(STATE)
    if kind == "spin":
        n = 0
        for i in range(3000000): n += i
        return n
    if kind == "listen":
        import socket, threading
        listener = socket.create_server(("127.0.0.1", 0))
        def greet():
            while True:
                peer, _ = listener.accept(); peer.sendall(b"inside"); peer.close()
        threading.Thread(target=greet, daemon=True).start()
        return listener.getsockname()[1]
    if kind == "child":
        import subprocess
        p = subprocess.Popen(["/bin/sleep", "1000"]); STATE.append(p); return p.pid
    return {
        "status": open("/proc/self/status").read(), "pid": os.getpid(), "uid": os.getuid(),
        "mounts": open("/proc/self/mountinfo").read(), "root": sorted(os.listdir("/")),
        "host": os.uname().nodename, "net": open("/proc/net/dev").read(), "fds": sorted(os.listdir("/proc/self/fd")),
        "code": os.listdir("/var/task"), "pids": [p for p in os.listdir("/proc") if p.isdigit()],
    }
)";

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_NO_FATAL_FAILURE(harness_.start());
    ASSERT_NO_FATAL_FAILURE(harness_.await_daemon());
  }
  // Sandbox 1, version 1, zygote 1.
  void make_function(const std::string& code = kProbe, std::uint64_t memory_bytes = 256 << 20) {
    ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(1));
    ASSERT_NO_FATAL_FAILURE(harness_.make_version(1, harness_.make_package(code), memory_bytes));
    EXPECT_TRUE(harness_.make_zygote(1, 1, 1).forkable);
  }
  wire::Failed failure_of(const Answer& answer) {
    EXPECT_EQ(answer.type, LauncherType::kFailed);
    const auto failed = wire::decode<wire::Failed>(answer.payload);
    return failed ? *failed : wire::Failed{.message = "not a failure"};
  }
  // Asks for instances 1 to `count` of zygote 1 and waits for nothing. Their channels are kept.
  std::vector<std::uint64_t> order_forks(std::uint64_t count) {
    std::vector<std::uint64_t> requests;
    for (std::uint64_t id = 1; id <= count; ++id) {
      int ends[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      channels_.emplace_back(ends[0]);
      const os::Fd theirs(ends[1]);
      requests.push_back(harness_.tell(LauncherType::kFork,
                                       wire::encode(wire::Fork{.instance = base::InstanceId{id},
                                                               .source = Subject::kZygote,
                                                               .source_id = 1,
                                                               .version = base::VersionId{1}}),
                                       {theirs.get(), harness_.output_fd(), harness_.output_fd()}));
    }
    return requests;
  }
  LauncherHarness harness_;
  std::vector<os::Fd> channels_;
};

TEST_F(LauncherTest, AnInstanceHasItsWalls) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  const Reply reply = harness_.first_invoke(instance);
  ASSERT_TRUE(reply.fine) << reply.meta;
  for (const char* line :
       {"CapInh:\\t0000000000000000", "CapPrm:\\t0000000000000000", "CapEff:\\t0000000000000000",
        "CapBnd:\\t0000000000000000", "CapAmb:\\t0000000000000000", "NoNewPrivs:\\t1", "Seccomp:\\t2"}) {
    EXPECT_NE(reply.body.find(line), std::string::npos) << line << " is not in\n" << reply.body;
  }
  EXPECT_NE(reply.body.find("\"uid\":1000"), std::string::npos) << reply.body;
  EXPECT_NE(reply.body.find("\"pid\":1,"), std::string::npos);
  EXPECT_NE(reply.body.find("\"host\":\"ebb\""), std::string::npos);
  EXPECT_NE(reply.body.find("\"code\":[\"app.py\"]"), std::string::npos);
  EXPECT_EQ(reply.body.find("eth0"), std::string::npos) << "only the loopback";
  // Nothing of the host's root but what is meant to be seen.
  for (const char* name : {"\"home\"", "\"boot\"", "\"srv\"", "\"mnt\"", "\"sys\""}) {
    EXPECT_EQ(reply.body.find(name), std::string::npos) << name;
  }
  // Seen from outside: a uid of the app's range, in the version's cgroup.
  bool found = false;
  for (const pid_t pid : harness_.processes()) {
    const auto groups = os::read_file("/proc/" + std::to_string(pid) + "/cgroup");
    if (!groups || groups->find("/app-shop/v1.1/i") == std::string::npos) continue;
    found = true;
    struct stat status{};
    ASSERT_EQ(::stat(("/proc/" + std::to_string(pid)).c_str(), &status), 0);
    const auto text = os::read_file("/proc/" + std::to_string(pid) + "/status");
    EXPECT_NE(text->find("Uid:\t" + std::to_string(1'800'000'000u + 7 * 65'536 + 1000)), std::string::npos) << *text;
  }
  EXPECT_TRUE(found);
}

TEST_F(LauncherTest, UsageIsReadThroughThePassedDescriptors) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  ASSERT_TRUE(harness_.first_invoke(instance, R"({"do":"spin"})").fine);
  const auto cpu = os::read_cpu_ns(instance.cpu);
  ASSERT_TRUE(cpu);
  EXPECT_GT(*cpu, 1'000'000u);
  static_cast<void>(os::reset_memory_peak(instance.memory_peak));
  ASSERT_TRUE(harness_.invoke(instance, R"({"do":"eat","bytes":33554432})").fine);
  const auto peak = os::read_memory_peak(instance.memory_peak);
  ASSERT_TRUE(peak);
  EXPECT_GT(*peak, 32u << 20);
}

wire::CpuUse read_cpu(LauncherHarness& harness, const std::string& app = "shop") {
  const Answer answer = harness.ask(LauncherType::kReadCpu, wire::encode(wire::ReadCpu{.app = app}));
  EXPECT_EQ(answer.type, LauncherType::kCpuUse);
  const auto use = wire::decode<wire::CpuUse>(answer.payload);
  EXPECT_TRUE(use);
  return use ? *use : wire::CpuUse{};
}

TEST_F(LauncherTest, WhatAnAppUsesOfTheProcessorsIsKeptBeyondTheEndOfItsCgroups) {
  make_function();
  EXPECT_EQ(read_cpu(harness_, "nobody").total_ns, 0u);
  const wire::CpuUse before = read_cpu(harness_);
  EXPECT_GT(before.runtimes_ns, 0u);
  EXPECT_GT(before.zygotes_ns, 0u);
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  EXPECT_EQ(harness_.first_invoke(instance, R"({"do":"spin"})").fine, true);
  harness_.send_invoke(instance, R"({"do":"exit","status":0})");
  const std::uint64_t by_instance = harness_.await_exit(Subject::kInstance, 1).cpu_ns;
  EXPECT_GT(by_instance, 0u);
  harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kZygote, .id = 1}));
  harness_.await_exit(Subject::kZygote, 1);
  EXPECT_TRUE(eventually([&] { return harness_.cgroup_absent("app-shop/v1.1/z1"); }));
  const wire::CpuUse after = read_cpu(harness_);
  EXPECT_GE(after.zygotes_ns, before.zygotes_ns) << "its cgroup is gone, what it used is not";
  EXPECT_GE(after.runtimes_ns, before.runtimes_ns);
  const std::uint64_t parts = after.runtimes_ns + after.zygotes_ns + by_instance;
  EXPECT_GE(after.total_ns, parts);
  EXPECT_LE(after.total_ns, parts + parts / 50) << "the parts are the whole, but for the last steps of what ended";
}

TEST_F(LauncherTest, HowAnInstanceEndedIsTold) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance killed = harness_.fork(1, Subject::kZygote, 1, 1);
  ASSERT_TRUE(harness_.first_invoke(killed, R"({"do":"child"})").fine);
  EXPECT_EQ(harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kInstance, .id = 1})).type,
            LauncherType::kDone);
  const wire::Exited by_kill = harness_.await_exit(Subject::kInstance, 1);
  EXPECT_EQ(by_kill.wait_status, static_cast<std::uint32_t>(SIGKILL));
  EXPECT_FALSE(by_kill.out_of_memory);
  EXPECT_GT(by_kill.cpu_ns, 0u);

  const TestInstance exits = harness_.fork(2, Subject::kZygote, 1, 1);
  ASSERT_TRUE(harness_.first_invoke(exits).fine);
  harness_.send_invoke(exits, R"({"do":"exit","status":"5"})");
  EXPECT_EQ(harness_.await_exit(Subject::kInstance, 2).wait_status, 5u << 8);

  const TestInstance eats = harness_.fork(3, Subject::kZygote, 1, 1);
  ASSERT_TRUE(harness_.first_invoke(eats).fine);
  harness_.send_invoke(eats, R"({"do":"eat","bytes":536870912})");
  const wire::Exited by_oom = harness_.await_exit(Subject::kInstance, 3);
  EXPECT_TRUE(by_oom.out_of_memory);
  EXPECT_EQ(by_oom.wait_status, static_cast<std::uint32_t>(SIGKILL));
  EXPECT_LE(by_oom.memory_peak_bytes, 256u << 20);

  // The zygote is untouched, the cgroups of the dead are gone, children of the killed too.
  const TestInstance next = harness_.fork(4, Subject::kZygote, 1, 1);
  EXPECT_TRUE(harness_.first_invoke(next).fine);
  EXPECT_TRUE(eventually([&] { return harness_.processes().size() == 4; })) << harness_.processes().size();
}

TEST_F(LauncherTest, AFunctionThatFailsToLoadIsExplainedAndLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(1));
  const auto load = [&](std::uint64_t id, const std::string& code) {
    harness_.make_version(id, harness_.make_package(code), 128 << 20);
    return failure_of(
        harness_.ask(LauncherType::kMakeZygote,
                     wire::encode(wire::MakeZygote{
                         .zygote = base::ZygoteId{id}, .sandbox = base::SandboxId{1}, .version = base::VersionId{id}}),
                     {harness_.output_fd(), harness_.output_fd()}));
  };
  const wire::Failed raised = load(1, "import nothing_of_that_name\n");
  EXPECT_EQ(raised.code, base::Code::kFunctionFailed);
  EXPECT_NE(raised.message.find("nothing_of_that_name"), std::string::npos) << raised.message;
  const wire::Failed exited = load(2, "import os\nos._exit(3)\n");
  EXPECT_EQ(exited.code, base::Code::kFunctionFailed);
  EXPECT_NE(exited.message.find("exit status 3"), std::string::npos) << exited.message;
  const wire::Failed ate = load(3, "x = bytearray(512 << 20)\n");
  EXPECT_NE(ate.message.find("out of memory"), std::string::npos) << ate.message;
  EXPECT_TRUE(eventually([&] { return harness_.processes().size() == 2; })) << "init and runtime only";
  // The same sandbox goes on.
  ASSERT_NO_FATAL_FAILURE(harness_.make_version(4, harness_.make_package(kProbe)));
  EXPECT_TRUE(harness_.make_zygote(4, 1, 4).forkable);
  EXPECT_TRUE(harness_.received_nothing_more()) << "what was never announced has no exit to tell";
}

TEST_F(LauncherTest, OrdersToFreezeAndThawStandByTheirSequence) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  ASSERT_TRUE(harness_.first_invoke(instance).fine);
  const auto order = [&](LauncherType type, std::uint64_t sequence, std::uint64_t id = 1) {
    const Answer answer =
        harness_.ask(type, wire::encode(wire::FreezeOrder{.instance = base::InstanceId{id}, .sequence = sequence}));
    EXPECT_EQ(answer.type, LauncherType::kDone);
  };
  const auto answers = [&] {
    harness_.send_invoke(instance, "{}");
    struct pollfd ready{.fd = instance.channel.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 300) == 1;
  };
  order(LauncherType::kFreeze, 1);
  EXPECT_FALSE(answers()) << "it is frozen";
  order(LauncherType::kThaw, 3);
  EXPECT_TRUE(eventually([&] {
    struct pollfd ready{.fd = instance.channel.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 10) == 1;
  })) << "what it was sent meanwhile is done";
  order(LauncherType::kFreeze, 2);  // came late
  EXPECT_TRUE(answers());
  order(LauncherType::kFreeze, 4, 77);  // unknown: it may just have ended
  order(LauncherType::kFreeze, 5);
  EXPECT_EQ(harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kInstance, .id = 1})).type,
            LauncherType::kDone);
  EXPECT_EQ(harness_.await_exit(Subject::kInstance, 1).wait_status, static_cast<std::uint32_t>(SIGKILL));
}

TEST_F(LauncherTest, TheDaemonGetsSocketsOfAnInstancesNetwork) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  const Reply listening = harness_.first_invoke(instance, R"({"do":"listen"})");
  ASSERT_TRUE(listening.fine) << listening.meta;
  const auto ask = [&](std::uint64_t id) {
    return harness_.ask(LauncherType::kOpenSockets,
                        wire::encode(wire::OpenSockets{.instance = base::InstanceId{id}, .count = 2}));
  };
  const Answer answer = ask(1);
  ASSERT_EQ(answer.type, LauncherType::kDone);
  ASSERT_EQ(answer.fds.size(), 2u);
  struct sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(listening.body)));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (const os::Fd& socket : answer.fds) {
    (void)::connect(socket.get(), reinterpret_cast<struct sockaddr*>(&to), sizeof to);
    struct pollfd readable{.fd = socket.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&readable, 1, 5000), 1);
    char text[16];
    EXPECT_EQ(::recv(socket.get(), text, sizeof text, 0), 6) << "what listens there, not on the host";
  }
  EXPECT_EQ(failure_of(ask(77)).code, base::Code::kNotFound);
}

TEST_F(LauncherTest, AnInstanceCanBeForkedFromTheRuntimeItself) {
  ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(1));
  ASSERT_NO_FATAL_FAILURE(harness_.make_version(1, harness_.make_package(kProbe)));
  const TestInstance instance = harness_.fork(1, Subject::kSandbox, 1, 1);
  const Reply reply = harness_.first_invoke(instance);
  ASSERT_TRUE(reply.fine) << reply.meta;
  EXPECT_NE(reply.body.find("\"code\":[\"app.py\"]"), std::string::npos);
}

TEST_F(LauncherTest, InstancesDieWithTheirZygoteAndAllWithTheirSandbox) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  EXPECT_TRUE(harness_.make_zygote(2, 1, 1).forkable);
  const TestInstance first = harness_.fork(1, Subject::kZygote, 1, 1);
  const TestInstance second = harness_.fork(2, Subject::kZygote, 2, 1);
  EXPECT_TRUE(harness_.first_invoke(first).fine && harness_.first_invoke(second).fine);
  harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kZygote, .id = 1}));
  EXPECT_EQ(harness_.await_exit(Subject::kZygote, 1).wait_status, static_cast<std::uint32_t>(SIGKILL));
  EXPECT_EQ(harness_.await_exit(Subject::kInstance, 1).wait_status, static_cast<std::uint32_t>(SIGKILL));
  EXPECT_TRUE(harness_.invoke(second).fine) << "another zygote's instance lives";
  harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kSandbox, .id = 1}));
  harness_.await_exit(Subject::kInstance, 2);
  harness_.await_exit(Subject::kZygote, 2);
  harness_.await_exit(Subject::kSandbox, 1);
  EXPECT_TRUE(eventually([&] { return harness_.processes().empty(); }));
  ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(1)) << "the name is free again";
}

TEST_F(LauncherTest, ADroppedVersionTakesEverythingAlong) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  const Answer dropped =
      harness_.ask(LauncherType::kDropVersion, wire::encode(wire::DropVersion{.version = base::VersionId{1}}));
  EXPECT_EQ(dropped.type, LauncherType::kDone);
  harness_.await_exit(Subject::kInstance, 1);
  harness_.await_exit(Subject::kZygote, 1);
  ASSERT_NO_FATAL_FAILURE(harness_.make_version(1, harness_.make_package(kProbe)));
  EXPECT_TRUE(harness_.make_zygote(2, 1, 1).forkable);
}

// Groups are removed some milliseconds after the drop: what comes at once must not end up in them.
TEST_F(LauncherTest, ADroppedVersionCanBeMadeAnewAtAnyMoment) {
  constexpr std::uint64_t kRounds = 20;
  ASSERT_NO_FATAL_FAILURE(make_function());
  const std::string package = harness_.make_package(kProbe);
  for (std::uint64_t round = 2; round <= kRounds; ++round) {
    const TestInstance instance = harness_.fork(round, Subject::kZygote, round - 1, 1);
    EXPECT_TRUE(harness_.first_invoke(instance).fine);
    EXPECT_EQ(
        harness_.ask(LauncherType::kDropVersion, wire::encode(wire::DropVersion{.version = base::VersionId{1}})).type,
        LauncherType::kDone);
    ASSERT_NO_FATAL_FAILURE(harness_.make_version(1, package));
    ASSERT_TRUE(harness_.make_zygote(round, 1, 1).forkable);
  }
}

TEST_F(LauncherTest, ManyForksAtOnceAreAllAnswered) {
  constexpr std::uint64_t kForks = 150;  // more than a zygote is given at once
  ASSERT_NO_FATAL_FAILURE(make_function());
  const std::vector<std::uint64_t> requests = order_forks(kForks);
  for (const std::uint64_t request : requests) {
    EXPECT_EQ(harness_.await_answer(request).type, LauncherType::kForked);
  }
  EXPECT_EQ(harness_.processes().size(), kForks + 3);
  EXPECT_TRUE(harness_.first_invoke({.id = kForks, .channel = std::move(channels_.back())}).fine);
  // A channel that is closed ends its instance.
  channels_.clear();
  for (std::uint64_t id = 1; id <= kForks; ++id) harness_.await_exit(Subject::kInstance, id);
  EXPECT_TRUE(eventually([&] { return harness_.processes().size() == 3; }));
}

TEST_F(LauncherTest, AZygoteKilledUnderForksLeavesNoRequestUnanswered) {
  constexpr std::uint64_t kForks = 100;
  ASSERT_NO_FATAL_FAILURE(make_function());
  const std::vector<std::uint64_t> requests = order_forks(kForks);
  for (const pid_t pid : harness_.processes()) {
    const auto groups = os::read_file("/proc/" + std::to_string(pid) + "/cgroup");
    const auto status = os::read_file("/proc/" + std::to_string(pid) + "/status");
    // Two levels: seen from the host and from the sandbox. Its newborn children have a third.
    const bool zygote = groups && status && groups->find("/app-shop/v1.1/z1") != std::string::npos &&
                        status->find("NSpid:\t" + std::to_string(pid) + "\t1\n") == std::string::npos &&
                        status->find("\t1\n", status->find("NSpid:")) > status->find("NSpgid:");
    if (zygote) ::kill(pid, SIGKILL);
  }
  std::vector<std::uint64_t> forked;
  for (std::uint64_t id = 1; id <= kForks; ++id) {
    const Answer answer = harness_.await_answer(requests[id - 1]);
    if (answer.type == LauncherType::kForked) {
      forked.push_back(id);
    } else {
      const base::Code code = failure_of(answer).code;  // kNotFound: the zygote is known to have gone
      EXPECT_TRUE(code == base::Code::kUnavailable || code == base::Code::kNotFound) << static_cast<int>(code);
    }
  }
  harness_.await_exit(Subject::kZygote, 1);
  for (const std::uint64_t id : forked) harness_.await_exit(Subject::kInstance, id);
  EXPECT_TRUE(eventually([&] { return harness_.processes().size() == 2; })) << "init and runtime";
  EXPECT_TRUE(harness_.make_zygote(2, 1, 1).forkable) << "the sandbox goes on";
}

TEST_F(LauncherTest, TheDaemonsDeathTearsAllDownAndStartsAnother) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1'000, Subject::kZygote, 1, 1);
  order_forks(60);
  const pid_t first = harness_.daemon_pid();
  harness_.kill_daemon();
  ASSERT_NO_FATAL_FAILURE(harness_.await_daemon());
  EXPECT_NE(harness_.daemon_pid(), first);
  EXPECT_TRUE(harness_.processes().empty()) << "before the next daemon starts, not after";
  ASSERT_NO_FATAL_FAILURE(make_function());
  EXPECT_TRUE(harness_.first_invoke(harness_.fork(1, Subject::kZygote, 1, 1)).fine);
}

TEST_F(LauncherTest, TheLaunchersDeathTakesEverythingAlongAndTheNextOneSweeps) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  const std::vector<pid_t> sandboxed = harness_.processes();
  EXPECT_EQ(sandboxed.size(), 4u);
  const pid_t daemon = harness_.daemon_pid();
  EXPECT_TRUE(WIFSIGNALED(harness_.stop(SIGKILL)));
  EXPECT_TRUE(eventually([&] { return harness_.processes().empty(); }));
  EXPECT_TRUE(eventually([&] { return ::kill(daemon, 0) != 0; }));
  EXPECT_FALSE(harness_.cgroups_absent()) << "nobody was there to remove them";
  ASSERT_NO_FATAL_FAILURE(harness_.start());
  ASSERT_NO_FATAL_FAILURE(harness_.await_daemon());
  EXPECT_FALSE(std::filesystem::exists("/sys/fs/cgroup/memory/" + harness_.tag() + "/app-shop"));
  EXPECT_EQ(harness_.stop(SIGTERM), 0);
  EXPECT_TRUE(harness_.cgroups_absent());
}

TEST_F(LauncherTest, AStopLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  const TestInstance instance = harness_.fork(1, Subject::kZygote, 1, 1);
  EXPECT_EQ(harness_.stop(SIGTERM), 0);
  EXPECT_TRUE(harness_.processes().empty());
  EXPECT_TRUE(harness_.cgroups_absent());
}

TEST_F(LauncherTest, ASecondLauncherIsRefused) {
  const pid_t second = ::fork();
  if (second == 0) {
    ::_exit(run_launcher({.data_dir = harness_.directory() + "/./data",
                          .runtime_dir = "/usr",
                          .uid_base = 1'800'000'000,
                          .daemon_uid = 65534,
                          .daemon_gid = 65534,
                          .daemon_argv = {"x"}}));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(second, &status, 0), second);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  EXPECT_EQ(harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{})).type, LauncherType::kDone)
      << "the first lives";
}

TEST_F(LauncherTest, MalformedRequestsAreAnsweredAndHarmNothing) {
  harness_.send_raw("garbage");
  EXPECT_EQ(failure_of(harness_.await_answer(0)).code, base::Code::kInvalidArgument);
  const int zero = 0;
  for (std::uint16_t type = 0; type < 100; ++type) {
    for (const std::string& payload : {std::string(), std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9)}) {
      if (static_cast<LauncherType>(type) == LauncherType::kKill && payload.size() == 9) continue;    // well-formed
      if (static_cast<LauncherType>(type) == LauncherType::kOpenEgress && payload.empty()) continue;  // too
      const Answer answer = harness_.ask(static_cast<LauncherType>(type), payload, {zero});
      const base::Code code = failure_of(answer).code;
      EXPECT_EQ(code, base::Code::kInvalidArgument) << type;
    }
  }
  // A fork needs three descriptors, a zygote that exists, and a version.
  const std::string fork = wire::encode(wire::Fork{.source_id = 9});
  EXPECT_EQ(failure_of(harness_.ask(LauncherType::kFork, fork, {zero})).code, base::Code::kInvalidArgument);
  EXPECT_EQ(failure_of(harness_.ask(LauncherType::kFork, fork, {zero, zero, zero})).code, base::Code::kNotFound);
  // A package that is a link, as a daemon gone bad could make it.
  const std::string key(64, 'a');
  ASSERT_EQ(::symlink("/etc", (harness_.directory() + "/data/packages/" + key).c_str()), 0);
  const wire::MakeVersion version{
      .version = base::VersionId{1}, .app = "x", .uid_index = 1, .package_key = key, .cpu_millis = 1, .pids = 1};
  EXPECT_EQ(failure_of(harness_.ask(LauncherType::kMakeVersion, wire::encode(version))).code, base::Code::kNotFound);
  // Two apps never share a range of uids.
  ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(1));
  const wire::MakeSandbox other{.sandbox = base::SandboxId{2}, .app = "other", .uid_index = 7, .runtime = "python3"};
  EXPECT_EQ(failure_of(harness_.ask(LauncherType::kMakeSandbox, wire::encode(other), {zero, zero})).code,
            base::Code::kInvalidArgument);
}

TEST_F(LauncherTest, AZygoteThatBreaksTheProtocolLosesItsSandboxOnly) {
  ASSERT_NO_FATAL_FAILURE(make_function());
  ASSERT_NO_FATAL_FAILURE(harness_.make_version(2, harness_.make_package("import os\nos.write(3, b'nonsense')\n"
                                                                         "import time\ntime.sleep(100)\n")));
  const Answer answer =
      harness_.ask(LauncherType::kMakeZygote,
                   wire::encode(wire::MakeZygote{
                       .zygote = base::ZygoteId{2}, .sandbox = base::SandboxId{1}, .version = base::VersionId{2}}),
                   {harness_.output_fd(), harness_.output_fd()});
  failure_of(answer);
  harness_.await_exit(Subject::kZygote, 1);
  harness_.await_exit(Subject::kSandbox, 1);
  EXPECT_TRUE(eventually([&] { return harness_.processes().empty(); }));
  ASSERT_NO_FATAL_FAILURE(harness_.make_sandbox(2));
}

}  // namespace
}  // namespace ebb::launcher
