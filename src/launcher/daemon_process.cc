#include "launcher/daemon_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "os/credentials.h"
#include "os/seqpacket.h"

namespace ebb::launcher {
namespace {

constexpr int kSocketFd = 3;
constexpr int kExecFailed = 127;

// Adds entries, each with its end, to the environment.
base::Result<> add_variables(const os::Fd& file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return base::os_error("stat the variables of builds", errno);
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  if (::pread(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return base::os_error("read the variables of builds", errno);
  }
  for (std::size_t at = 0; at < text.size(); at = text.find('\0', at) + 1) {
    const std::string entry(text.c_str() + at);
    const std::size_t equals = entry.find('=');
    if (::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1) != 0) {
      return base::os_error("set a variable of builds", errno);
    }
  }
  return {};
}

base::Result<> become_daemon(const os::Fd& executable, const os::Fd& variables, const os::Fd& socket,
                             const std::vector<std::string>& argv, uid_t uid, gid_t gid, pid_t launcher) {
  for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Before descriptor 3 is the socket: it may be the variables'.
  EBB_CHECKED(add_variables(variables));
  // Lifted above 3 first: one of them may be 3 itself.
  const int program = ::fcntl(executable.get(), F_DUPFD_CLOEXEC, 16);
  const int lifted = ::fcntl(socket.get(), F_DUPFD_CLOEXEC, 16);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (program < 0 || lifted < 0 || null < 0 || ::dup2(null, 0) != 0 || ::dup2(lifted, kSocketFd) != kSocketFd) {
    return base::os_error("arrange the daemon's descriptors", errno);
  }
  if (::close_range(kSocketFd + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return base::os_error("close_range", errno);
  if (::chdir("/") != 0) return base::os_error("chdir", errno);
  EBB_CHECKED(os::become(uid, gid));
  EBB_CHECKED(os::forbid_new_privileges());
  EBB_CHECKED(os::die_with_parent(launcher));
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::syscall(SYS_execveat, program, "", arguments.data(), environ, AT_EMPTY_PATH);
  return base::os_error("start the daemon", errno);
}

}  // namespace

base::Result<DaemonProcess> start_daemon(const os::Fd& executable, const os::Fd& variables,
                                         const std::vector<std::string>& argv, uid_t uid, gid_t gid) {
  EBB_CHECK(!argv.empty());
  const pid_t launcher = ::getpid();
  EBB_TRY(auto ends, os::seqpacket_pair());
  EBB_TRY(os::ChildProcess child, os::clone_process(0));
  if (child.pid == 0) {
    const base::Result<> became = become_daemon(executable, variables, ends.second, argv, uid, gid, launcher);
    std::fprintf(stderr, "ebb: %s\n", became.error().message.c_str());
    ::_exit(kExecFailed);
  }
  return DaemonProcess{.child = std::move(child), .socket = std::move(ends.first)};
}

}  // namespace ebb::launcher
