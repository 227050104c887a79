#include "os/clone.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace ebb::os {

base::Result<ChildProcess> clone_process(std::uint64_t namespaces) {
  // glibc keeps the thread id in the thread's control block; a raw clone must have it rewritten or raise() and
  // recursive locks in the child would act for the parent.
  int* tid_address = nullptr;
  if (::prctl(PR_GET_TID_ADDRESS, &tid_address) != 0) tid_address = nullptr;
  std::uint64_t flags = namespaces | CLONE_PIDFD | SIGCHLD;
  if (tid_address != nullptr) flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  int pidfd = -1;
  const long pid = ::syscall(SYS_clone, flags, nullptr, &pidfd, tid_address, 0);
  if (pid < 0) return base::os_error("clone", errno);
  ChildProcess child;
  child.pid = static_cast<pid_t>(pid);
  if (pid > 0) child.pidfd = Fd(pidfd);
  return child;
}

int wait_status_of(pid_t child) {
  int status = -1;
  while (::waitpid(child, &status, __WALL) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace ebb::os
