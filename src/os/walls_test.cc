// Goal: what the kernel then says of a process that used these walls: credentials, filter, mounts, id maps, paths.
// Method: each case runs in a forked child whose exit status is the number of the first line that went wrong.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_alg.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "os/clone.h"
#include "os/credentials.h"
#include "os/file.h"
#include "os/mounts.h"
#include "os/namespaces.h"
#include "os/path.h"
#include "os/pidfd.h"
#include "os/seccomp.h"

#define EXPECT_IN_CHILD(condition) \
  if (!(condition)) return __LINE__

namespace ebb::os {
namespace {

// __LINE__ does not fit an exit status: it goes through a pipe.
template <typename Body>
std::string verdict_of(Body body) {
  int ends[2];
  if (::pipe(ends) != 0) return "pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const int line = body();
    [[maybe_unused]] const auto written = ::write(ends[1], &line, sizeof line);
    ::_exit(0);
  }
  ::close(ends[1]);
  int line = -1;
  const ssize_t got = ::read(ends[0], &line, sizeof line);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  if (got != sizeof line) return "no verdict";
  return line == 0 ? "fine" : "line " + std::to_string(line);
}

class Walls : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_F(Walls, BecomeLeavesNoPrivilege) {
  EXPECT_EQ(verdict_of([] {
              EXPECT_IN_CHILD(become(65534, 65534));
              EXPECT_IN_CHILD(forbid_new_privileges());
              const auto status = read_file("/proc/thread-self/status");
              EXPECT_IN_CHILD(status);
              for (const char* set : {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"}) {
                EXPECT_IN_CHILD(status->find(std::string(set) + "\t0000000000000000\n") != std::string::npos);
              }
              EXPECT_IN_CHILD(status->find("NoNewPrivs:\t1") != std::string::npos);
              EXPECT_IN_CHILD(status->find("Groups:\t \n") != std::string::npos);
              EXPECT_IN_CHILD(::setuid(0) != 0);
              return 0;
            }),
            "fine");
}

int refused(long result, int expected) { return result == -1 && errno == expected; }

int check_filter(SyscallProfile profile) {
  const auto filter = SyscallFilter::compile(profile);
  EXPECT_IN_CHILD(filter);
  EXPECT_IN_CHILD(forbid_new_privileges());
  EXPECT_IN_CHILD(filter->install());
  EXPECT_IN_CHILD(::getpid() > 0);
  EXPECT_IN_CHILD(refused(::syscall(SYS_clone3, nullptr, 0), ENOSYS));
  EXPECT_IN_CHILD(refused(::syscall(SYS_unshare, CLONE_NEWNS), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_setns, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_ptrace, 0, 0, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_bpf, 0, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_process_vm_readv, 0, 0, 0, 0, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_io_uring_setup, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_keyctl, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_userfaultfd, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_open_by_handle_at, 0, 0, 0), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_pivot_root, "/", "/"), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), ENOSYS));
  EXPECT_IN_CHILD(refused(::syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), ENOSYS));
  EXPECT_IN_CHILD(refused(::socket(AF_ALG, SOCK_SEQPACKET, 0), ENOSYS));
  EXPECT_IN_CHILD(refused(::socket(AF_VSOCK, SOCK_STREAM, 0), ENOSYS));
  EXPECT_IN_CHILD(refused(::socket(AF_PACKET, SOCK_RAW, 0), ENOSYS));
  // The kernel cuts the request to 32 bits; a filter that compared 64 would be blind to the second.
  EXPECT_IN_CHILD(refused(::ioctl(0, TIOCSTI, "x"), EPERM));
  EXPECT_IN_CHILD(refused(::syscall(SYS_ioctl, 0, TIOCSTI | 1ul << 32, "x"), EPERM));
  EXPECT_IN_CHILD(::personality(0xffffffff) != -1);
  EXPECT_IN_CHILD(refused(::personality(ADDR_NO_RANDOMIZE), ENOSYS));
  const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_IN_CHILD(socket.valid());
  EXPECT_IN_CHILD(refused(::socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), ENOSYS));
  EXPECT_IN_CHILD(refused(::socket(AF_NETLINK, SOCK_RAW, 12), ENOSYS));  // nf_tables
  EXPECT_IN_CHILD(refused(::syscall(SYS_umount2, "/nowhere", 0), EPERM));
  EXPECT_IN_CHILD(refused(::mount("none", "/nowhere", "tmpfs", MS_REMOUNT, nullptr),
                          profile == SyscallProfile::kZygote ? ENOSYS : EPERM));
  const int may_mount = ::mount("none", "/nowhere", "tmpfs", MS_NOSUID | MS_NODEV, nullptr);
  EXPECT_IN_CHILD(may_mount == -1 && errno == (profile == SyscallProfile::kZygote ? ENOENT : EPERM));
  // A plain fork works; so does the zygote's word for an instance, and only for a zygote.
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  int status = 0;
  EXPECT_IN_CHILD(::waitpid(child, &status, 0) == child && status == 0);
  constexpr long kInstance = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                             CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
  int tid = 0;
  const long instance = ::syscall(SYS_clone, kInstance, 0, 0, &tid, 0);
  if (instance == 0) ::_exit(0);
  EXPECT_IN_CHILD(profile == SyscallProfile::kZygote ? instance > 0 : refused(instance, ENOSYS));
  return 0;
}

TEST_F(Walls, TheZygotesSystemCalls) {
  EXPECT_EQ(verdict_of([] { return check_filter(SyscallProfile::kZygote); }), "fine");
}
TEST_F(Walls, ABuildsSystemCalls) {
  EXPECT_EQ(verdict_of([] { return check_filter(SyscallProfile::kBuild); }), "fine");
}

// Root that makes sandboxes, and no more: what would change the machine is refused even so.
TEST_F(Walls, TheLaunchersSystemCallsAndCapabilities) {
  EXPECT_EQ(verdict_of([] {
              const auto filter = SyscallFilter::compile(SyscallProfile::kLauncher);
              EXPECT_IN_CHILD(filter);
              const std::array kept = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL};
              EXPECT_IN_CHILD(keep_capabilities(kept));
              EXPECT_IN_CHILD(forbid_new_privileges() && filter->install());
              const auto status = read_file("/proc/thread-self/status");
              EXPECT_IN_CHILD(status && status->find("CapBnd:\t00000000002000e0\n") != std::string::npos);
              EXPECT_IN_CHILD(status->find("CapEff:\t00000000002000e0\n") != std::string::npos);
              for (const long number : {SYS_bpf, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
                                        SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_reboot, SYS_swapon, SYS_acct,
                                        SYS_open_by_handle_at, SYS_io_uring_setup, SYS_userfaultfd, SYS_settimeofday,
                                        SYS_clock_settime, SYS_syslog, SYS_quotactl, SYS_pidfd_getfd}) {
                EXPECT_IN_CHILD(refused(::syscall(number, 0, 0, 0, 0, 0, 0), EPERM));
              }
              EXPECT_IN_CHILD(refused(::syscall(SYS_clone3, nullptr, 0), ENOSYS));
              EXPECT_IN_CHILD(::unshare(CLONE_NEWNS) == 0 && make_all_private());
              EXPECT_IN_CHILD(make_tmpfs({.size_bytes = 1 << 20}));
              auto child = clone_process(CLONE_NEWUSER | CLONE_NEWNET);
              EXPECT_IN_CHILD(child);
              if (child->pid == 0) ::_exit(0);
              int ended = 0;
              EXPECT_IN_CHILD(::waitpid(child->pid, &ended, 0) == child->pid && ended == 0);
              return 0;
            }),
            "fine");
}

TEST_F(Walls, AnotherArchitecturesCallsKill) {
  EXPECT_EQ(verdict_of([] {
              const auto filter = SyscallFilter::compile(SyscallProfile::kZygote);
              EXPECT_IN_CHILD(filter && forbid_new_privileges() && filter->install());
              ::syscall(0x40000000 + SYS_getpid);  // x32
              return 0;
            }),
            "signal " + std::to_string(SIGSYS));
}

TEST_F(Walls, ACloneInNewNamespacesIsMappedAndPrivate) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto child = clone_process(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET);
  ASSERT_TRUE(child) << child.error().message;
  if (child->pid == 0) {
    const auto body = [&]() -> int {
      char byte = 0;
      EXPECT_IN_CHILD(::read(ends[0], &byte, 1) == 1);
      EXPECT_IN_CHILD(::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0);
      EXPECT_IN_CHILD(make_all_private());
      EXPECT_IN_CHILD(bring_loopback_up());
      EXPECT_IN_CHILD(mount_proc("/proc"));
      EXPECT_IN_CHILD(raise_pids_above(20'000));
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(0);
      EXPECT_IN_CHILD(grandchild > 20'000);
      const auto tree = make_tmpfs({.size_bytes = 1 << 20});
      EXPECT_IN_CHILD(tree && attach_tree(*tree, AT_FDCWD, "/tmp"));
      EXPECT_IN_CHILD(::mkdir("/tmp/below", 0700) == 0);
      const auto usr = clone_tree(AT_FDCWD, "/usr", MountAccess::kReadOnly);
      EXPECT_IN_CHILD(usr && attach_tree(*usr, AT_FDCWD, "/tmp/below"));
      EXPECT_IN_CHILD(::mkdir("/tmp/below/x", 0700) == -1 && errno == EROFS);
      EXPECT_IN_CHILD(make_read_only(AT_FDCWD, "/tmp"));
      EXPECT_IN_CHILD(::mkdir("/tmp/y", 0700) == -1 && errno == EROFS);
      const auto root = open_directory("/tmp");
      EXPECT_IN_CHILD(root && pivot_to(*root));
      EXPECT_IN_CHILD(::access("/below/bin", F_OK) == 0 && ::access("/etc", F_OK) != 0);
      return 0;
    };
    const int line = body();
    ::_exit(line == 0 ? 0 : 1 + (line & 0x7f));
  }
  ASSERT_TRUE(write_id_maps(child->pid, 1'000'000, 65'536));
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child->pid, &status, 0), child->pid);
  EXPECT_EQ(status, 0) << "line & 0x7f is " << WEXITSTATUS(status) - 1;
}

TEST(Path, NothingLeavesTheDirectory) {
  char pattern[] = "/tmp/ebb-path-XXXXXX";
  const std::string directory = ::mkdtemp(pattern);
  std::ofstream(directory + "/file") << "x";
  ASSERT_EQ(::symlink("/etc", (directory + "/out").c_str()), 0);
  ASSERT_EQ(::symlink("file", (directory + "/in").c_str()), 0);
  const auto root = open_directory(directory.c_str());
  ASSERT_TRUE(root);
  EXPECT_TRUE(open_beneath(*root, "file", O_RDONLY));
  for (const char* path : {"out", "out/passwd", "in", "../ebb", "/etc/passwd"}) {
    const auto refused_path = open_beneath(*root, path, O_RDONLY);
    ASSERT_FALSE(refused_path) << path;
    EXPECT_EQ(refused_path.error().code, base::Code::kPermissionDenied) << path;
  }
  const auto missing = open_beneath(*root, "missing", O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Code::kNotFound);
  std::filesystem::remove_all(directory);
}

// What masks a file of /proc (CVE-2019-19921 and its kin) must not swallow a write that was meant for the kernel.
TEST_F(Walls, AWriteToProcfsHitsProcfsOrNothing) {
  EXPECT_EQ(verdict_of([] {
              EXPECT_IN_CHILD(::unshare(CLONE_NEWNS) == 0 && make_all_private());
              EXPECT_IN_CHILD(write_procfs("/proc/self/comm", "tried"));
              EXPECT_IN_CHILD(::mount("/dev/null", "/proc/self/comm", nullptr, MS_BIND, nullptr) == 0);
              EXPECT_IN_CHILD(write_file("/proc/self/comm", "swallowed"));
              const auto masked = write_procfs("/proc/self/comm", "tried");
              EXPECT_IN_CHILD(!masked && masked.error().code == base::Code::kPermissionDenied);
              EXPECT_IN_CHILD(!write_procfs("/dev/null", "x"));
              EXPECT_IN_CHILD(!write_procfs("/proc/self/cwd", "x"));
              return 0;
            }),
            "fine");
}

TEST(File, NumbersAreFoundByWholeKey) {
  const std::string text = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
  EXPECT_EQ(*number_in(text, "oom_kill"), 4u);
  EXPECT_FALSE(number_in(text, "oom"));
  EXPECT_EQ(*number_in("42\n", ""), 42u);
  EXPECT_FALSE(number_in("max\n", ""));
}

}  // namespace
}  // namespace ebb::os
