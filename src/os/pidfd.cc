#include "os/pidfd.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace ebb::os {

base::Result<Fd> open_pidfd(pid_t pid) {
  // glibc 2.36 declares its wrappers without C linkage, so that C++ cannot call them.
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd >= 0) return Fd(fd);
  base::Error error = base::os_error("open process " + std::to_string(pid), errno);
  if (error.os_errno == ESRCH) error.code = base::Code::kNotFound;
  return error;
}

base::Result<> signal_process(const Fd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0 || errno == ESRCH) return {};
  return base::os_error("signal process", errno);
}

bool has_ended(const Fd& pidfd) {
  pollfd poll{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

base::Result<std::optional<int>> reap_child(const Fd& pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
    return base::os_error("reap child", errno);
  }
  if (info.si_pid == 0) return std::optional<int>();
  const int status = info.si_code == CLD_EXITED   ? info.si_status << 8
                     : info.si_code == CLD_DUMPED ? info.si_status | 0x80
                                                  : info.si_status;
  return std::optional<int>(status);
}

void kill_and_reap(const Fd& pidfd) {
  static_cast<void>(signal_process(pidfd, SIGKILL));
  for (bool reaped = false; !reaped;) {
    const base::Result<std::optional<int>> status = reap_child(pidfd);
    reaped = !status || status->has_value();
  }
}

}  // namespace ebb::os
