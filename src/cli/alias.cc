// `ebb alias set|ls|rm`: names for versions of a function.
#include "model/alias.h"

#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::minutes(4);  // the version is started first

struct Options {
  std::string subject;
  std::string name;
  std::string version;
  std::string weight;
};

std::string name_of(const Subject& subject) { return subject.app + "/" + subject.function; }

// The function that is meant. Errors: kInvalidArgument.
base::Result<Subject> function_in(const Options& options) {
  EBB_TRY(Subject subject, parse_subject(options.subject));
  if (subject.function.empty() || !subject.version.empty()) {
    return base::invalid_argument("'" + options.subject + "' is no function: name APP/FUNCTION");
  }
  return subject;
}

base::Result<std::string> path_of(const Options& options) {
  EBB_TRY(const Subject subject, function_in(options));
  EBB_CHECKED(model::check_alias_name(options.name));
  return "/api/v1/apps/" + subject.app + "/functions/" + subject.function + "/aliases/" + options.name;
}

// "3", or "3 (90 %), 4 (10 %)".
std::string versions_text(const boost::json::object& alias) {
  const std::string first = std::to_string(count_of(alias, "version"));
  const auto* weight = alias.if_contains("weight");
  if (weight == nullptr || !weight->is_object()) return first;
  const std::uint64_t percent = count_of(weight->get_object(), "percent");
  return first + " (" + std::to_string(100 - percent) + " %), " +
         std::to_string(count_of(weight->get_object(), "version")) + " (" + std::to_string(percent) + " %)";
}

base::Result<int> set(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(model::parse_version_number(options.version));
  if (!options.weight.empty()) EBB_CHECKED(model::parse_alias_weight(options.weight));
  request.headers.add("Content-Type", "application/json");
  request.body = "{\"version\":" + http::json_quoted(options.version) +
                 (options.weight.empty() ? "" : ",\"weight\":" + http::json_quoted(options.weight)) + "}";
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
  if (session.json) {
    print_out(response.body + "\n");
    return 0;
  }
  EBB_TRY(const boost::json::object alias, json_object(response.body));
  const std::string name = text_of(alias, "app") + "/" + text_of(alias, "function");
  print_out(name + ":" + text_of(alias, "name") + " is version " + versions_text(alias) + "  " + session.rest().url() +
            "/fn/" + name + ":" + text_of(alias, "name") + "/\n");
  return 0;
}

base::Result<int> list(const Session& session, const Options& options) {
  Subject subject;
  if (!options.subject.empty()) {
    EBB_TRY(subject, parse_subject(options.subject));
  }
  if (!subject.version.empty()) return base::invalid_argument("aliases are of a function: name APP or APP/FUNCTION");
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/aliases" + query_of(subject)));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"APP", "FUNCTION", "ALIAS", "VERSION", "SET"});
  for (const auto* alias : objects_in(answer.object, "aliases")) {
    table.add({text_of(*alias, "app"), text_of(*alias, "function"), text_of(*alias, "name"), versions_text(*alias),
               text_of(*alias, "updated")});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_TRY(const Subject subject, function_in(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  const std::string name = name_of(subject) + ":" + options.name;
  print_out(session.json ? "{\"removed\":" + http::json_quoted(name) + "}\n" : "removed alias " + name + "\n");
  return 0;
}

}  // namespace

void add_alias(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* alias = app.add_subcommand("alias", "Name versions, and share calls between two of them");
  alias->group("Deploy and call");
  alias->require_subcommand(1);
  alias->footer(
      "\nA function is called by an alias as by a version: /fn/APP/FUNCTION:NAME/, ebb invoke APP/FUNCTION:NAME.\n"
      "Example: ebb alias set vision/digits live 3 --weight 4=10");

  auto* put = alias->add_subcommand("set", "Set an alias to a version, once that has started");
  put->add_option("function", options->subject, "APP/FUNCTION")->required()->type_name("");
  put->add_option("name", options->name, "NAME: lower-case letters, digits and inner hyphens, not all digits")
      ->required()
      ->type_name("");
  put->add_option("version", options->version, "VERSION: its number, see ebb versions")->required()->type_name("");
  put->add_option("--weight", options->weight, "So many percent of the calls to another version, such as 4=10")
      ->type_name("VERSION=PERCENT");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = alias->add_subcommand("ls", "List aliases");
  show->add_option("subject", options->subject, "APP or APP/FUNCTION: only theirs")->type_name("");
  add_common_options(*show, session);
  show->callback([&session, options] { session.action = [&session, options] { return list(session, *options); }; });

  auto* drop = alias->add_subcommand("rm", "Remove an alias; calls by it are answered 404 at once");
  drop->add_option("function", options->subject, "APP/FUNCTION")->required()->type_name("");
  drop->add_option("name", options->name, "NAME")->required()->type_name("");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
