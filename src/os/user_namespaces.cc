#include "os/user_namespaces.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "os/clone.h"
#include "os/credentials.h"
#include "os/file.h"
#include "os/mounts.h"
#include "os/namespaces.h"

namespace ebb::os {
namespace {

constexpr std::uint32_t kIds = 65'536;
constexpr uid_t kInner = 1000;
constexpr std::uint64_t kWalls = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
constexpr int kPatienceMs = 5'000;

// Shared with the children: how far they came.
struct Progress {
  UserNamespaces level;
  int os_errno;
  char step[64];
};

[[noreturn]] void stop(Progress& progress, const char* step, int failed) {
  progress.os_errno = failed;
  std::strncpy(progress.step, step, sizeof progress.step - 1);
  ::_exit(1);
}

// What an instance does at its birth (runtimes/native/instance_walls.c), as far as the host may forbid it.
[[noreturn]] void be_instance(Progress& progress) {
  const auto write = [&](const char* path, const char* text) {
    if (const base::Result<> written = write_file(path, text); !written) {
      stop(progress, "map ids in a nested user namespace", written.error().os_errno);
    }
  };
  write("/proc/self/setgroups", "deny");
  write("/proc/self/uid_map", "1000 1000 1");
  write("/proc/self/gid_map", "1000 1000 1");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    stop(progress, "mount in a nested user namespace", errno);
  }
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    stop(progress, "mount /proc in a nested user namespace", errno);
  }
  if (::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0) {
    stop(progress, "mount a tmpfs in a nested user namespace", errno);
  }
  ::_exit(0);
}

[[noreturn]] void be_zygote(Progress& progress) {
  if (const base::Result<> done = become(kInner, kInner); !done) {
    stop(progress, "give up privilege in a user namespace", done.error().os_errno);
  }
  // What exec does for a zygote: without it its /proc files would belong to root.
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 1));
  const base::Result<ChildProcess> instance = clone_process(kWalls);
  if (!instance) stop(progress, "clone in a user namespace", instance.error().os_errno);
  if (instance->pid == 0) be_instance(progress);
  ::_exit(wait_status_of(instance->pid) == 0 ? 0 : 1);
}

[[noreturn]] void be_sandbox(Progress& progress, int go) {
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(1);  // the parent gave up
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) stop(progress, "become root of a user namespace", errno);
  if (const base::Result<> done = make_all_private(); !done) {
    stop(progress, "mount in a user namespace", done.error().os_errno);
  }
  if (const base::Result<> done = mount_proc("/proc"); !done) {
    stop(progress, "mount /proc in a user namespace", done.error().os_errno);
  }
  progress.level = UserNamespaces::kForRoot;
  const pid_t zygote = ::fork();
  if (zygote < 0) stop(progress, "fork in a user namespace", errno);
  if (zygote == 0) be_zygote(progress);
  if (wait_status_of(zygote) == 0) progress.level = UserNamespaces::kForAll;
  ::_exit(0);
}

}  // namespace

base::Result<UserNamespaceProbe> probe_user_namespaces(std::uint32_t host_uid_first) {
  if (::geteuid() != 0) {
    return base::Error{.code = base::Code::kPermissionDenied, .message = "only root can try what a node does"};
  }
  void* shared = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return base::os_error("map a page", errno);
  auto& progress = *static_cast<Progress*>(shared);  // zeros: kNone, no step
  const auto probe = [&]() -> base::Result<> {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return base::os_error("make a pipe", errno);
    const Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    const base::Result<ChildProcess> sandbox = clone_process(kWalls);
    if (!sandbox) {
      progress.os_errno = sandbox.error().os_errno;
      std::strncpy(progress.step, "clone a user namespace as root", sizeof progress.step - 1);
      return {};
    }
    if (sandbox->pid == 0) {
      write_end.reset();
      be_sandbox(progress, read_end.get());
    }
    if (const base::Result<> mapped = write_id_maps(sandbox->pid, host_uid_first, kIds); !mapped) {
      progress.os_errno = mapped.error().os_errno;
      std::strncpy(progress.step, "map ids of a user namespace", sizeof progress.step - 1);
    } else {
      [[maybe_unused]] const ssize_t told = ::write(write_end.get(), "g", 1);
    }
    write_end.reset();
    pollfd end{.fd = sandbox->pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&end, 1, kPatienceMs) != 1) ::kill(sandbox->pid, SIGKILL);  // all in it die with it
    wait_status_of(sandbox->pid);
    return {};
  };
  const base::Result<> probed = probe();
  UserNamespaceProbe found{.level = progress.level};
  if (found.level != UserNamespaces::kForAll) {
    found.obstacle = progress.step[0] == 0 ? "no answer from a user namespace"
                                           : std::string(progress.step) + ": " + std::strerror(progress.os_errno);
  }
  ::munmap(shared, sizeof(Progress));
  if (!probed) return probed.error();
  return found;
}

}  // namespace ebb::os
