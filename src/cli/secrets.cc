// `ebb secret set|ls|rm`: values that functions are given and nobody else sees. A value comes from standard input or a
// file, never from the command line, where `ps` and the shell's history would keep it.
#include <termios.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string app;
  std::string name;
  std::string from_file;
};

// Typed without being shown. The terminal is put back whatever happens to the line.
class QuietTerminal {
 public:
  QuietTerminal() : quiet_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!quiet_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  ~QuietTerminal() {
    if (quiet_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;

 private:
  termios before_{};
  bool quiet_;
};

// One newline at the end is how a line ends, not part of the value.
std::string without_line_end(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

base::Result<std::string> read_value(const Options& options) {
  std::ostringstream text;
  if (!options.from_file.empty()) {
    std::ifstream file(options.from_file, std::ios::binary);
    if (file) text << file.rdbuf();
    if (!file) return base::not_found("cannot read " + options.from_file + ", give an existing file with --from-file");
    return without_line_end(text.str());
  }
  if (isatty(STDIN_FILENO) == 1) {
    print_err("value of " + options.name + " (not shown): ");
    std::string line;
    {
      const QuietTerminal quiet;
      std::getline(std::cin, line);
    }
    print_err("\n");
    return line;
  }
  text << std::cin.rdbuf();
  return without_line_end(text.str());
}

base::Result<std::string> path_of(const Options& options) {
  EBB_CHECKED(model::check_name("app", options.app));
  if (options.name.empty()) return "/api/v1/apps/" + options.app + "/secrets";
  EBB_CHECKED(model::check_name("secret", options.name));
  return "/api/v1/apps/" + options.app + "/secrets/" + options.name;
}

base::Result<int> set(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  EBB_TRY(const std::string value, read_value(options));
  request.headers.add("Content-Type", "application/json");
  const std::string quoted = http::json_quoted(value);
  boost::system::error_code failed;
  const boost::json::value back = boost::json::parse(quoted, failed);
  if (failed || !back.is_string() || std::string_view(back.get_string()) != value) {
    return base::invalid_argument("the value is not UTF-8 text, an environment is: encode it, say in base64");
  }
  request.body = "{\"value\":" + quoted + "}";
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
  if (response.status == 202) {
    EBB_TRY(const boost::json::object taken, json_object(response.body));
    return follow_deployment(session, count_of(taken, "id"));
  }
  print_out(session.json ? "{\"set\":" + http::json_quoted(options.app + "/" + options.name) + "}\n"
                         : "set " + options.name + " of " + options.app +
                               "; a function gets it by secrets: {NAME: " + options.name + "} in ebb.yaml\n");
  return 0;
}

base::Result<int> list(const Session& session, const Options& options) {
  EBB_TRY(std::string path, path_of(options));
  EBB_TRY(const Rest::Document answer, session.rest().get(std::move(path)));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"NAME", "VERSION", "UPDATED", "FUNCTIONS"});
  for (const auto* secret : objects_in(answer.object, "secrets")) {
    std::string users;
    for (const std::string& function : texts_in(*secret, "functions")) users += (users.empty() ? "" : ", ") + function;
    table.add({text_of(*secret, "name"), std::to_string(count_of(*secret, "version")), text_of(*secret, "updated"),
               users.empty() ? "-" : users});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(options.app + "/" + options.name) + "}\n"
                         : "removed secret " + options.name + " of " + options.app + "\n");
  return 0;
}

}  // namespace

void add_secrets(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* secrets = app.add_subcommand("secret", "Set, list and remove values that functions are given");
  secrets->group("Security");
  secrets->require_subcommand(1);
  secrets->footer(
      "\nThe value comes from standard input, a prompt or a file: printf %s \"$TOKEN\" | ebb secret set vision "
      "api-token\n"
      "A new value reaches functions at once: new versions are tried with it, then they serve.");
  const auto name_them = [options](CLI::App* command, bool with_name) {
    command->add_option("app", options->app, "APP")->required()->type_name("");
    if (with_name) command->add_option("name", options->name, "NAME, such as db-password")->required()->type_name("");
  };

  auto* put = secrets->add_subcommand("set", "Set a value, from standard input or a file");
  name_them(put, true);
  put->add_option("--from-file", options->from_file, "Read the value there; one newline at its end is left out")
      ->type_name("FILE");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = secrets->add_subcommand("ls", "List names; values are not shown to anybody");
  name_them(show, false);
  add_common_options(*show, session);
  show->callback([&session, options] { session.action = [&session, options] { return list(session, *options); }; });

  auto* drop = secrets->add_subcommand("rm", "Remove a secret that no function uses");
  name_them(drop, true);
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
