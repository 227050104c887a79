#include "launcher/worker.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "os/clone.h"
#include "os/credentials.h"
#include "os/pidfd.h"

namespace ebb::launcher {

Workers::~Workers() {
  for (auto& [fd, pidfd] : running_) {
    poller_.forget(fd);
    static_cast<void>(os::signal_process(pidfd, SIGKILL));
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    static_cast<void>(::poll(&wait, 1, -1));  // bounded: nothing outlives SIGKILL for long
    static_cast<void>(os::reap_child(pidfd));
  }
}

base::Result<> Workers::start(const Work& work, Done done) {
  const pid_t launcher = ::getpid();
  EBB_TRY(os::ChildProcess child, os::clone_process(0));
  if (child.pid == 0) {
    if (!os::die_with_parent(launcher)) ::_exit(1);
    ::_exit(work());
  }
  const int fd = child.pidfd.get();
  running_.emplace(fd, std::move(child.pidfd));
  return poller_.watch(fd, [this, fd, done = std::move(done)] { ended(fd, done); });
}

void Workers::ended(int fd, const Done& done) {
  const base::Result<std::optional<int>> status = os::reap_child(running_.at(fd));
  poller_.forget(fd);
  running_.erase(fd);
  done(status && *status && **status == 0);
}

}  // namespace ebb::launcher
