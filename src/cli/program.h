// The program `ebb` as people type it: reads the line, runs the command, turns an error into a sentence and an exit
// status.
//
// Exit status: 0, else that of the error's code (base/error.h, docs/reference/exit-codes.md), 130 after Ctrl-C.
// Commands that run a part of the daemon (`serve`) belong to main.cc, which hands them in to be listed and dispatched.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ebb::cli {

/// A command that is not the command line's own. `run` gets what stands behind its name.
struct LocalCommand {
  std::string name;
  std::string description;
  std::function<int(std::vector<std::string> arguments)> run;
};

/// Called by main. Gives the exit status.
int run(int argc, char** argv, const std::vector<LocalCommand>& local);

}  // namespace ebb::cli
