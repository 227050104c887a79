#include "node/instance_end.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>

namespace ebb::node {

namespace {

std::string signal_name(int number) {
  const char* description = ::strsignal(number);
  return "signal " + std::to_string(number) + " (" + (description ? description : "?") + ")";
}

// The runtime ends with its program, and as a shell says how: 128 and the signal.
std::string how_a_program_ended(int status) {
  constexpr int kBySignal = 128;
  return "its program " +
         (status > kBySignal ? "was killed by " + signal_name(status - kBySignal)
                             : "ended with exit status " + std::to_string(status)) +
         ", its log may say more";
}

}  // namespace

bool ended_for_the_node(const wire::Exited& exit, const model::Version& version) {
  return exit.out_of_memory && exit.memory_peak_bytes < version.spec.memory.count / 10 * 9;
}

std::string how_it_ended(const wire::Exited& exit, const model::Version& version) {
  const std::string name = version.app + "/" + version.function;
  if (ended_for_the_node(exit, version)) {
    return name + " was ended at " + std::to_string(exit.memory_peak_bytes) +
           " bytes, below its own memory: all functions of this node together came to memory_budget, try again or "
           "raise it; the call is not billed";
  }
  if (exit.out_of_memory) {
    return name + " ran out of memory: it may add " + base::to_string(version.spec.memory) +
           " to what its zygote holds and came to " + std::to_string(exit.memory_peak_bytes) +
           " bytes, raise memory in ebb.yaml";
  }
  if (exit.orphaned) return "the zygote of " + name + " ended and took the instance along; the call is not billed";
  const int status = static_cast<int>(exit.wait_status);
  const bool has_program = version.spec.runtime == "http" || version.spec.runtime == "lambda";
  if (has_program && WIFEXITED(status)) return name + ": " + how_a_program_ended(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) {
    return name + " crashed: killed by " + signal_name(WTERMSIG(status));
  }
  return name + " ended its process (exit status " + std::to_string(WEXITSTATUS(status)) + ") instead of returning";
}

}  // namespace ebb::node
