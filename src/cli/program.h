// The program `ebb` as people type it: reads the line, runs the command, turns an error into a sentence and an exit
// status.
//
// Exit status: 0, else that of the error's code (base/error.h, docs/reference/exit-codes.md), 130 after Ctrl-C.
// Commands that run a part of the daemon (`serve`) belong to main.cc, which hands them in to be listed and dispatched.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ebb::cli {

struct Session;

/// A command that is not the command line's own. `run` gets what stands behind its name.
struct LocalCommand {
  std::string name;
  std::string description;
  std::function<int(std::vector<std::string> arguments)> run;
};

/// A command of another part that talks to a daemon as the command line's own do: declared through this
/// (cli/commands.h).
using AddCommand = void (*)(CLI::App& app, Session& session);

/// Called by main. Gives the exit status.
int run(int argc, char** argv, const std::vector<LocalCommand>& local, const std::vector<AddCommand>& added = {});

}  // namespace ebb::cli
