// Goal: what the daemon has given up cannot be done any more, and what it needs can.
// Method: each case runs in a forked child whose exit status tells which attempt went wrong.
#include "gateway/daemon_walls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/sanitizer.h"
#include "os/fd.h"
#include "os/landlock.h"

namespace ebb::gateway {
namespace {

// 0: all attempts went as they should; else the number of the first that did not.
template <typename Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool refused_with(long result, int code) { return result == -1 && errno == code; }

struct Directory {
  std::string path;
  Directory() {
    char pattern[] = "/tmp/ebb-walls-XXXXXX";
    path = ::mkdtemp(pattern);
  }
  ~Directory() { std::filesystem::remove_all(path); }
};

TEST(DaemonWalls, OnlyTheDataDirectoryIsWritten) {
  if (os::landlock_abi() == 0) GTEST_SKIP() << "no landlock on this kernel";
  const Directory data;
  const Directory other;
  std::ofstream(other.path + "/readable") << "x";
  model::Config config;
  config.data_dir = data.path;
  EXPECT_EQ(in_child([&] {
              if (!raise_walls(config)) return 1;
              if (::open((data.path + "/made").c_str(), O_WRONLY | O_CREAT, 0600) < 0) return 2;
              if (::rename((data.path + "/made").c_str(), (data.path + "/moved").c_str()) != 0) return 3;
              if (!refused_with(::open((other.path + "/made").c_str(), O_WRONLY | O_CREAT, 0600), EACCES)) return 4;
              if (!refused_with(::open((other.path + "/readable").c_str(), O_WRONLY), EACCES)) return 5;
              if (!refused_with(::unlink((other.path + "/readable").c_str()), EACCES)) return 6;
              if (!refused_with(::truncate((other.path + "/readable").c_str(), 0), EACCES)) return 7;
              if (!refused_with(::mkdir("/tmp/ebb-walls-made", 0700), EACCES)) return 8;
              if (!refused_with(::open("/proc/self/oom_score_adj", O_WRONLY), EACCES)) return 9;
              if (::open((other.path + "/readable").c_str(), O_RDONLY) < 0) return 10;
              // Nothing that it wrote can be run.
              std::filesystem::copy_file("/bin/true", data.path + "/program");
              char* arguments[] = {const_cast<char*>("program"), nullptr};
              if (!refused_with(::execv((data.path + "/program").c_str(), arguments), EACCES)) return 11;
              return 0;
            }),
            0);
}

TEST(DaemonWalls, NoAbstractSocketOfOthersAndNoSignals) {
  if (os::landlock_abi() < 6) GTEST_SKIP() << "landlock of this kernel has no scopes";
  const os::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_GE(listener.get(), 0);
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "ebb-walls-test-%d", ::getpid());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const Directory data;
  model::Config config;
  config.data_dir = data.path;
  const pid_t parent = ::getpid();
  EXPECT_EQ(in_child([&] {
              const os::Fd before(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
              if (::connect(before.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) return 1;
              if (!raise_walls(config)) return 2;
              const os::Fd after(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
              if (!refused_with(::connect(after.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), EPERM)) {
                return 3;
              }
              return refused_with(::kill(parent, 0), EPERM) ? 0 : 4;
            }),
            0);
}

TEST(DaemonWalls, NoProgramsNoProcessesNoTracing) {
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer needs what is refused here";
  EXPECT_EQ(in_child([] {
              bool in_thread = false;
              std::thread already([&] {
                for (int i = 0; i < 2000 && !in_thread; ++i) {
                  ::usleep(1000);
                  in_thread = refused_with(::syscall(SYS_ptrace, PTRACE_ATTACH, 0, 0, 0), EPERM);  // unfiltered: ESRCH
                }
              });
              if (!seal_walls()) return 1;
              already.join();
              if (!in_thread) return 2;  // the filter holds in threads that were there before
              std::thread later([] {});  // and new ones can be had
              later.join();
              if (!refused_with(::fork(), ENOSYS)) return 3;
              char* arguments[] = {const_cast<char*>("true"), nullptr};
              if (!refused_with(::execv("/bin/true", arguments), EPERM)) return 4;
              pid_t pid = 0;
              if (::posix_spawn(&pid, "/bin/true", nullptr, nullptr, arguments, environ) == 0) return 5;
              if (!refused_with(::mount("none", "/nowhere", "tmpfs", 0, nullptr), EPERM)) return 6;
              if (!refused_with(::syscall(SYS_bpf, 0, 0, 0), EPERM)) return 7;
              if (!refused_with(::syscall(SYS_setns, 0, 0), EPERM)) return 8;
              if (!refused_with(::socket(AF_PACKET, SOCK_RAW, 0), ENOSYS)) return 9;
              if (!refused_with(::setuid(0), EPERM)) return 10;
              const os::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
              return socket.valid() ? 0 : 11;
            }),
            0);
}

}  // namespace
}  // namespace ebb::gateway
