// What stands between a handler's return and its answer, in either extension of the Python runtime.
#pragma once

#include <stdio.h>
#include <sys/wait.h>

// Flushes C's output streams, so that what was written is read as this invocation's. The pid of a child that has ended
// and was not waited for, 0 when there is none; it stays for whoever is going to wait for it (WNOWAIT).
static inline pid_t ebb_settle(void) {
  fflush(NULL);
  siginfo_t info;
  info.si_pid = 0;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}
