// `ebb rm`: removes an app, one of its functions or an old version of one, after a question on a terminal.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"

namespace ebb::cli {
namespace {

constexpr auto kRemoveLimit = std::chrono::minutes(2);  // instances are ended first

struct Options {
  std::string subject;
  bool yes = false;
};

base::Result<bool> confirmed(const Options& options, const std::string& what) {
  if (options.yes) return true;
  if (isatty(STDIN_FILENO) != 1) {
    return base::invalid_argument("not asked whether to remove " + what +
                                  " because nobody sits at a terminal: say --yes");
  }
  print_err("remove " + what + "? its URLs stop working at once [y/N] ");
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

base::Result<int> remove(const Session& session, const Options& options) {
  EBB_TRY(const Subject subject, parse_subject(options.subject));
  std::string name = subject.app;
  std::string path = "/api/v1/apps/" + subject.app;
  std::string what = "app " + name + " with all its functions";
  if (!subject.function.empty()) {
    name += "/" + subject.function;
    path += "/functions/" + subject.function;
    what = "function " + name;
  }
  if (!subject.version.empty()) {
    name += ":" + subject.version;
    path += "/versions/" + encoded(subject.version);
    what = "version " + name;
  }
  EBB_TRY(const bool go, confirmed(options, what));
  if (!go) {
    print_err("nothing removed\n");
    return 0;
  }
  http::ClientRequest request{.method = "DELETE"};
  request.url = path;
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kRemoveLimit));
  std::uint64_t calls = 0;
  if (!response.body.empty()) {
    EBB_TRY(const boost::json::object removed, json_object(response.body));
    calls = count_of(removed, "calls_removed");
  }
  if (session.json) {
    print_out("{\"removed\":" + http::json_quoted(name) + ",\"calls_removed\":" + std::to_string(calls) + "}\n");
    return 0;
  }
  const std::string asynchronous = calls == 1 ? " asynchronous call" : " asynchronous calls";
  print_out("removed " + what + (calls == 0 ? "" : ", and " + std::to_string(calls) + asynchronous + " of it") + "\n");
  return 0;
}

}  // namespace

void add_remove(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("rm", "Remove an app, one of its functions, or an old version");
  command->group("Deploy and call");
  command->add_option("app", options->subject, "APP, APP/FUNCTION or APP/FUNCTION:VERSION")->required()->type_name("");
  command->add_flag("-y,--yes", options->yes, "Do not ask");
  add_common_options(*command, session);
  command->callback(
      [&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
