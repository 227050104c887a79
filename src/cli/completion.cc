// `ebb completion SHELL`: a script that completes commands and options, written from the declarations themselves.
#include <map>
#include <memory>
#include <sstream>

#include "cli/commands.h"
#include "cli/templates.h"

namespace ebb::cli {
namespace {

struct Words {
  std::string description;
  std::string options;  // separated by spaces, those of its own commands too
  std::string inner;    // its own commands, as `create` of `ebb key`, or what else its first word may be
};

void add_options(const CLI::App& command, Words& words) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string word = "--" + name;
      if ((" " + words.options + " ").find(" " + word + " ") != std::string::npos) continue;
      words.options += (words.options.empty() ? "" : " ") + word;
    }
  }
}

std::map<std::string, Words> words_of(const CLI::App& app) {
  std::map<std::string, Words> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    Words& words = commands[command->get_name()];
    words.description = command->get_description();
    add_options(*command, words);
    for (const CLI::App* inner : command->get_subcommands([](const CLI::App*) { return true; })) {
      words.inner += (words.inner.empty() ? "" : " ") + inner->get_name();
      add_options(*inner, words);
    }
  }
  for (const Template& one : templates()) commands["init"].inner.append(" ").append(one.name);
  return commands;
}

std::string bash_script(const std::map<std::string, Words>& commands) {
  std::string names;
  std::string cases;
  for (const auto& [name, words] : commands) {
    names += (names.empty() ? "" : " ") + name;
    cases += "    " + name + ") options=\"" + words.options + "\"; inner=\"" + words.inner + "\" ;;\n";
  }
  return "# bash completion of ebb; load it with: source <(ebb completion bash)\n"
         "_ebb() {\n"
         "  local word=\"${COMP_WORDS[COMP_CWORD]}\" options=\"\" inner=\"\"\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         names +
         "\" -- \"$word\"))\n"
         "    return\n"
         "  fi\n"
         "  case \"${COMP_WORDS[1]}\" in\n" +
         cases +
         "  esac\n"
         "  if [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$inner\" ]; then\n"
         "    COMPREPLY=($(compgen -W \"$inner\" -- \"$word\"))\n"
         "    return\n"
         "  fi\n"
         "  case \"$word\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -F _ebb ebb\n";
}

std::string zsh_script(const std::map<std::string, Words>& commands) {
  std::string listed;
  std::string cases;
  std::string inner;
  for (const auto& [name, words] : commands) {
    listed += "    '" + name + ":" + words.description + "'\n";
    cases += "    " + name + ") compadd -- " + words.options + " ;;\n";
    if (!words.inner.empty()) inner += "    " + name + ") compadd -- " + words.inner + " ;;\n";
  }
  return "#compdef ebb\n"
         "# zsh completion of ebb; save it as _ebb in a folder of $fpath\n"
         "local -a commands\n"
         "commands=(\n" +
         listed +
         "  )\n"
         "if (( CURRENT == 2 )); then\n"
         "  _describe command commands\n"
         "elif [[ $words[CURRENT] == -* ]]; then\n"
         "  case $words[2] in\n" +
         cases +
         "  esac\n"
         "else\n"
         "  case $words[2] in\n" +
         inner +
         "    *) _files ;;\n"
         "  esac\n"
         "fi\n";
}

std::string fish_script(const std::map<std::string, Words>& commands) {
  std::string script = "# fish completion of ebb; save it as ~/.config/fish/completions/ebb.fish\n";
  for (const auto& [name, words] : commands) {
    script += "complete -c ebb -n __fish_use_subcommand -f -a " + name + " -d '" + words.description + "'\n";
    if (!words.inner.empty()) {
      script += "complete -c ebb -n '__fish_seen_subcommand_from " + name + "' -f -a '" + words.inner + "'\n";
    }
    std::istringstream options(words.options);
    for (std::string option; options >> option;) {
      script += "complete -c ebb -n '__fish_seen_subcommand_from " + name + "' -l " + option.substr(2) + "\n";
    }
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& app, Session& session) {
  auto shell = std::make_shared<std::string>();
  auto* command = app.add_subcommand("completion", "Print a completion script for bash, zsh or fish");
  command->group("More");
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->type_name("");
  command->callback([&app, &session, shell] {
    session.action = [&app, shell]() -> base::Result<int> {
      const auto commands = words_of(app);
      if (*shell == "bash") {
        print_out(bash_script(commands));
      } else if (*shell == "zsh") {
        print_out(zsh_script(commands));
      } else if (*shell == "fish") {
        print_out(fish_script(commands));
      } else {
        return base::invalid_argument("no completion for shell '" + *shell + "', known are bash, zsh and fish");
      }
      return 0;
    };
  });
}

}  // namespace ebb::cli
