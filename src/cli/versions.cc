// `ebb versions` and `ebb rollback`: the versions of a function that there are, and which is the current one.
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/alias.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::minutes(4);  // the version is started first

struct Options {
  std::string subject;
  std::string version;
};

base::Result<std::string> path_of(const Options& options) {
  EBB_TRY(const Subject subject, parse_subject(options.subject));
  if (subject.function.empty() || !subject.version.empty()) {
    return base::invalid_argument("'" + options.subject + "' is no function: name APP/FUNCTION");
  }
  return "/api/v1/apps/" + subject.app + "/functions/" + subject.function;
}

// "live, next 10 %".
std::string aliases_text(const boost::json::object& version) {
  std::string text;
  for (const auto* alias : objects_in(version, "aliases")) {
    const std::uint64_t percent = count_of(*alias, "percent");
    text += (text.empty() ? "" : ", ") + text_of(*alias, "name");
    if (percent != 100) text += " " + std::to_string(percent) + " %";
  }
  return text;
}

base::Result<int> list(const Session& session, const Options& options) {
  EBB_TRY(const std::string path, path_of(options));
  EBB_TRY(const Rest::Document answer, session.rest().get(path + "/versions"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"VERSION", "DEPLOYED", "SIZE", "CURRENT", "ALIASES"});
  for (const auto* version : objects_in(answer.object, "versions")) {
    table.add({std::to_string(count_of(*version, "version")), text_of(*version, "created"),
               size_text(count_of(*version, "bytes")), flag_of(*version, "current") ? "yes" : "",
               aliases_text(*version)});
  }
  print_out(table.text(session.terminal, {0, 2}));
  return 0;
}

base::Result<int> roll_back(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "POST"};
  EBB_TRY(const std::string path, path_of(options));
  request.url = path + "/rollback";
  if (!options.version.empty()) {
    EBB_CHECKED(model::parse_version_number(options.version));
    request.headers.add("Content-Type", "application/json");
    request.body = "{\"version\":" + http::json_quoted(options.version) + "}";
  }
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
  if (session.json) {
    print_out(response.body + "\n");
    return 0;
  }
  EBB_TRY(const boost::json::object version, json_object(response.body));
  print_out("version " + std::to_string(count_of(version, "version")) + " of " + text_of(version, "app") + "/" +
            text_of(version, "function") + " is the current one; calls under way finish on theirs\n");
  return 0;
}

}  // namespace

void add_versions(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* show = app.add_subcommand("versions", "List the versions of a function");
  show->group("Deploy and call");
  show->add_option("function", options->subject, "APP/FUNCTION")->required()->type_name("");
  add_common_options(*show, session);
  show->callback([&session, options] { session.action = [&session, options] { return list(session, *options); }; });

  auto* back = app.add_subcommand("rollback", "Make an earlier version the current one, at once");
  back->group("Deploy and call");
  back->add_option("function", options->subject, "APP/FUNCTION")->required()->type_name("");
  back->add_option("version", options->version, "VERSION: the one deployed before the current one without it")
      ->type_name("");
  add_common_options(*back, session);
  back->callback(
      [&session, options] { session.action = [&session, options] { return roll_back(session, *options); }; });
}

}  // namespace ebb::cli
