// Goal: a build's output is there complete and sealed, or not at all, whatever the command does (builds.h).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "launcher/launcher_harness.h"

namespace ebb::launcher {
namespace {

using wire::LauncherType;
using wire::Subject;

class BuildTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_NO_FATAL_FAILURE(harness_.start());
    ASSERT_NO_FATAL_FAILURE(harness_.await_daemon());
  }
  wire::Failed failure_of(const Answer& answer) {
    EXPECT_EQ(answer.type, LauncherType::kFailed);
    const auto failed = wire::decode<wire::Failed>(answer.payload);
    return failed ? *failed : wire::Failed{.message = "not a failure"};
  }
  Answer build(std::uint64_t id, const std::string& script, wire::TreeKind kind, const std::string& key) {
    return harness_.ask(LauncherType::kBuild,
                        wire::encode(wire::Build{.build = id,
                                                 .output = kind,
                                                 .output_key = key,
                                                 .memory_bytes = 256 << 20,
                                                 .argv = {"/bin/sh", "-c", script},
                                                 .env = {"PATH=/usr/bin:/bin"}}),
                        {harness_.output_fd()});
  }
  std::string content(const char* kind, const std::string& key) const {
    return harness_.directory() + "/data/" + kind + "/" + key;
  }
  bool build_directory_empty() const {
    return eventually([&] { return std::filesystem::is_empty(harness_.directory() + "/data/build"); });
  }
  LauncherHarness harness_;
};

TEST_F(BuildTest, WhatABuildLeavesIsSealed) {
  const std::string key(64, 'b');
  const Answer answer =
      build(1,
            "echo hello; id -u; mkdir -m 0700 d && echo x > d/f && chmod 4711 d/f && ln -s /etc/passwd l "
            "&& mkfifo p && mkdir w && chmod 0777 w && cat /proc/net/dev",
            wire::TreeKind::kLayer, key);
  ASSERT_EQ(answer.type, LauncherType::kDone) << harness_.output();
  EXPECT_NE(harness_.output().find("hello\n1000\n"), std::string::npos);
  EXPECT_EQ(harness_.output().find("eth"), std::string::npos);
  struct stat status{};
  ASSERT_EQ(::lstat((content("layers", key) + "/d").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u);
  EXPECT_EQ(status.st_uid, 0u);
  ASSERT_EQ(::lstat((content("layers", key) + "/d/f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u) << "no setuid bit, readable";
  ASSERT_EQ(::lstat((content("layers", key) + "/w").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u);
  ASSERT_EQ(::lstat((content("layers", key) + "/l").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  EXPECT_NE(::lstat((content("layers", key) + "/p").c_str(), &status), 0) << "a fifo is no content";
  ASSERT_EQ(::lstat("/etc/passwd", &status), 0);
  EXPECT_EQ(status.st_uid, 0u);
  EXPECT_TRUE(build_directory_empty());

  // The next build sees it read-only, and a package belongs to the daemon.
  const std::string package(64, 'c');
  const Answer next = harness_.ask(LauncherType::kBuild,
                                   wire::encode(wire::Build{.build = 2,
                                                            .layer_key = key,
                                                            .output = wire::TreeKind::kPackage,
                                                            .output_key = package,
                                                            .argv = {"/bin/sh", "-c",
                                                                     "cat /ebb/layer/d/f && ! touch /ebb/layer/new && "
                                                                     "! mount -t tmpfs x /tmp && echo y > made"}}),
                                   {harness_.output_fd()});
  ASSERT_EQ(next.type, LauncherType::kDone) << harness_.output();
  ASSERT_EQ(::lstat((content("packages", package) + "/made").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534u);

  const auto remove = wire::encode(wire::RemoveTree{.kind = wire::TreeKind::kLayer, .key = key});
  EXPECT_EQ(harness_.ask(LauncherType::kRemoveTree, remove).type, LauncherType::kDone);
  EXPECT_FALSE(std::filesystem::exists(content("layers", key)));
  EXPECT_EQ(harness_.ask(LauncherType::kRemoveTree, remove).type, LauncherType::kDone) << "removing twice is fine";
  EXPECT_TRUE(build_directory_empty());
}

TEST_F(BuildTest, AFailedOrKilledBuildLeavesNothing) {
  const std::string key(64, 'd');
  const wire::Failed failed = failure_of(build(1, "echo half > f; exit 3", wire::TreeKind::kLayer, key));
  EXPECT_EQ(failed.code, base::Code::kFunctionFailed);
  EXPECT_NE(failed.message.find("exit status 3"), std::string::npos) << failed.message;
  const wire::Failed deep =
      failure_of(build(2, "for i in $(seq 200); do mkdir d && cd d; done; exit 0", wire::TreeKind::kLayer, key));
  EXPECT_EQ(deep.code, base::Code::kFunctionFailed);
  const std::uint64_t request = harness_.tell(
      LauncherType::kBuild,
      wire::encode(
          wire::Build{.build = 3, .output_key = key, .argv = {"/bin/sh", "-c", "echo begun; sleep 1000 & sleep 1000"}}),
      {harness_.output_fd()});
  EXPECT_TRUE(eventually([&] { return harness_.output().find("begun") != std::string::npos; }));
  harness_.ask(LauncherType::kKill, wire::encode(wire::Kill{.subject = Subject::kBuild, .id = 3}));
  EXPECT_EQ(failure_of(harness_.await_answer(request)).code, base::Code::kCancelled);
  const wire::Failed missing = failure_of(harness_.ask(
      LauncherType::kBuild, wire::encode(wire::Build{.build = 4, .output_key = key, .argv = {"/no/such/command"}}),
      {harness_.output_fd()}));
  EXPECT_NE(missing.message.find("/no/such/command"), std::string::npos) << missing.message;
  EXPECT_FALSE(std::filesystem::exists(content("layers", key)));
  EXPECT_TRUE(build_directory_empty());
  EXPECT_TRUE(eventually([&] { return harness_.processes().empty(); }));
}

}  // namespace
}  // namespace ebb::launcher
