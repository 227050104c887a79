#include "cli/program.h"

#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"
#include "model/suggestion.h"

namespace ebb::cli {
namespace {

constexpr int kUsageError = 2;
constexpr int kInterrupted = 130;

constexpr const char* kExamples =
    "\nExamples:\n"
    "  ebb serve --config /etc/ebb/ebb.yaml      start the platform on this machine (as root)\n"
    "  ebb init python hello                     begin a folder with a function that works\n"
    "  ebb deploy examples/digits                deploy a folder with an ebb.yaml\n"
    "  ebb invoke hello/hello --data '{\"a\": 1}'   call a function with an event\n"
    "  curl http://127.0.0.1:8080/fn/hello/hello/  call it by its URL\n"
    "  ebb logs -f vision                        what its functions print, as they print it\n"
    "  ebb usage vision/digits --since 1h        what it used, in compute units (CU)\n"
    "  ebb rm vision                             remove an app and all its functions\n\n"
    "EBB_URL says where Ebb listens (default http://127.0.0.1:8080). Every command has --json and --help.\n"
    "Exit status: 0 done, 2 wrong input, 3 not found, 6 full, 7 the function failed, 8 no answer, 9 too late, 1 a bug.";

// Ctrl-C: the terminal is left with a clean line and the shell told so; nothing here needs undoing.
extern "C" void on_interrupt(int) {
  constexpr std::string_view kClear = "\r\x1b[K";
  if (isatty(STDERR_FILENO) == 1) [[maybe_unused]]
    const auto ignored = write(STDERR_FILENO, kClear.data(), kClear.size());
  _exit(kInterrupted);
}

int report(const Session& session, const base::Error& error) {
  if (session.json) {
    print_err("{\"error\":{\"code\":" + http::json_quoted(base::name_of(error.code)) +
              ",\"message\":" + http::json_quoted(error.message) + "}}\n");
  } else {
    print_err(session.terminal.on_err(Colour::kRed, "error:") + " " + harmless(error.message) + "\n");
  }
  return base::exit_code_of(error.code);
}

void add_version(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("version", "Print the version of this program");
  command->group("More");
  add_common_options(*command, session);
  command->callback([&session] {
    session.action = [&session]() -> base::Result<int> {
      print_out(session.json ? "{\"version\":\"" EBB_VERSION "\"}\n" : "ebb " EBB_VERSION "\n");
      return 0;
    };
  });
}

// The remedy that CLI11 does not name: a mistyped command.
base::Result<void> check_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return {};
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return {};
  const std::vector<std::string_view> known(names.begin(), names.end());
  return base::invalid_argument("unknown command '" + std::string(argv[1]) + "', " +
                                model::suggestion_for(argv[1], known) + "; see ebb --help");
}

}  // namespace

base::Result<Subject> parse_subject(std::string_view text) {
  Subject subject;
  const auto slash = text.find('/');
  subject.app = text.substr(0, slash);
  if (slash != std::string_view::npos) {
    const std::string_view rest = text.substr(slash + 1);
    const auto colon = rest.find(':');
    subject.function = rest.substr(0, colon);
    if (colon != std::string_view::npos) subject.version = rest.substr(colon + 1);
    EBB_CHECKED(model::check_name("function", subject.function));
  }
  EBB_CHECKED(model::check_name("app", subject.app));
  return subject;
}

std::string query_of(const Subject& subject) {
  if (subject.app.empty()) return {};
  return "?app=" + encoded(subject.app) + (subject.function.empty() ? "" : "&function=" + encoded(subject.function));
}

void add_common_options(CLI::App& command, Session& session) {
  command.add_option("--url", session.url, "Where Ebb listens; default from EBB_URL, else http://127.0.0.1:8080")
      ->type_name("URL");
  command
      .add_option(
          "--key-file", session.key_file,
          "A file with the key to show; default EBB_KEY (the key itself), EBB_KEY_FILE, ~/.config/ebb/keys, the "
          "local node's")
      ->type_name("FILE");
  command
      .add_option("--ca-file", session.ca_file,
                  "Trust the certificates of these authorities (PEM); default EBB_CA_FILE")
      ->type_name("FILE");
  command.add_flag("--json", session.json, "Print one JSON document for programs to read");
}

int run(int argc, char** argv, const std::vector<LocalCommand>& local, const std::vector<AddCommand>& added) {
  for (const LocalCommand& command : local) {
    if (argc >= 2 && command.name == argv[1]) return command.run(std::vector<std::string>(argv + 2, argv + argc));
  }
  std::signal(SIGINT, on_interrupt);

  Session session;
  const char* url = std::getenv("EBB_URL");
  const char* ca_file = std::getenv("EBB_CA_FILE");
  session.ca_file = ca_file != nullptr ? ca_file : "";
  const char* key_file = std::getenv("EBB_KEY_FILE");
  session.key_file = key_file != nullptr ? key_file : "";
  session.url = url != nullptr && *url != '\0' ? url : "http://127.0.0.1:8080";

  CLI::App app("Ebb: functions that start in milliseconds, scale to zero and are charged by use.", "ebb");
  app.footer(kExamples);
  app.get_formatter()->column_width(32);
  for (const LocalCommand& command : local)
    app.add_subcommand(command.name, command.description)->group("Run the platform");
  add_init(app, session);
  add_deploy(app, session);
  add_build(app, session);
  add_invoke(app, session);
  add_calls(app, session);
  add_remove(app, session);
  add_versions(app, session);
  add_alias(app, session);
  add_list(app, session);
  add_logs(app, session);
  add_usage(app, session);
  add_bill(app, session);
  add_ledger(app, session);
  for (const AddCommand add : added) add(app, session);
  add_budget(app, session);
  add_quota(app, session);
  add_webhook(app, session);
  add_secrets(app, session);
  add_organisations(app, session);
  add_keys(app, session);
  add_version(app, session);
  add_completion(app, session);
  app.set_version_flag("--version", "ebb " EBB_VERSION);

  if (const auto known = check_command(app, argc, argv); !known) return report(session, known.error());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // the library's way to say --help as well as a mistake
    if (error.get_exit_code() == 0) return app.exit(error);
    print_err(session.terminal.on_err(Colour::kRed, "error:") + " " + harmless(error.what()) + "\nsee ebb" +
              (argc >= 2 && argv[1][0] != '-' ? " " + harmless(argv[1]) : "") + " --help\n");
    return kUsageError;
  }
  if (!session.action) {
    print_err(app.help());
    return kUsageError;
  }
  const base::Result<int> status = session.action();
  return status ? *status : report(session, status.error());
}

}  // namespace ebb::cli
