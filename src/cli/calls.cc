// `ebb calls ls|show|retry|rm`: asynchronous calls that wait, run or failed.
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string subject;
  std::string state;
  std::string limit;
  std::string id;
  bool event = false;
};

std::string path_of(const Options& options) { return "/api/v1/calls/" + encoded(options.id); }

// What there is to say about why it is as it is, for a person.
std::string reason_of(const boost::json::object& call) {
  const std::string waits = text_of(call, "waits_because");
  return harmless(waits.empty() ? text_of(call, "error") : waits);
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  constexpr std::size_t kLongest = 100;
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

std::string name_of(const boost::json::object& call) {
  const std::string version = text_of(call, "version");
  return text_of(call, "app") + "/" + text_of(call, "function") + (version.empty() ? "" : ":" + version);
}

base::Result<int> list(const Session& session, const Options& options) {
  std::string path = "/api/v1/calls";
  if (!options.subject.empty()) {
    EBB_TRY(const Subject subject, parse_subject(options.subject));
    if (!subject.version.empty()) return base::invalid_argument("name APP or APP/FUNCTION, of any version");
    path += query_of(subject);
  }
  const auto add = [&path](const char* name, const std::string& value) {
    if (!value.empty()) path += (path.find('?') == std::string::npos ? "?" : "&") + std::string(name) + encoded(value);
  };
  add("state=", options.state);
  add("limit=", options.limit);
  EBB_TRY(const Rest::Document answer, session.rest().get(path));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"CALL", "FUNCTION", "STATE", "ATTEMPTS", "ACCEPTED", "WHY"});
  for (const auto* call : objects_in(answer.object, "calls")) {
    table.add({text_of(*call, "id"), name_of(*call), text_of(*call, "state"),
               std::to_string(count_of(*call, "attempts")), text_of(*call, "accepted"), one_line(reason_of(*call))});
  }
  print_out(table.text(session.terminal, {3}));
  return 0;
}

base::Result<int> show(const Session& session, const Options& options) {
  if (options.event) {
    http::ClientRequest request{.method = "GET"};
    request.url = path_of(options) + "/event";
    EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
    print_out(response.body);
    return 0;
  }
  EBB_TRY(const Rest::Document answer, session.rest().get(path_of(options)));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  const boost::json::object& call = answer.object;
  std::string text;
  const auto add = [&text](std::string name, const std::string& value) {
    if (value.empty()) return;
    name.resize(14, ' ');
    text += name + harmless(value) + "\n";
  };
  add("call", text_of(call, "id"));
  add("function", name_of(call));
  add("state", text_of(call, "state"));
  add("attempts", std::to_string(count_of(call, "attempts")) + " of " + std::to_string(count_of(call, "retries") + 1));
  add("accepted", text_of(call, "accepted"));
  add("next attempt", text_of(call, "next_attempt"));
  add("until", text_of(call, "deadline"));
  add("failed", text_of(call, "failed"));
  add("waits for", text_of(call, "waits_because"));
  add("error", text_of(call, "error"));
  add("event", std::to_string(count_of(call, "event_bytes")) + " bytes " + text_of(call, "content_type"));
  print_out(text);
  return 0;
}

base::Result<int> act(const Session& session, const Options& options, bool retry) {
  http::ClientRequest request{.method = retry ? "POST" : "DELETE"};
  request.url = path_of(options) + (retry ? "/retry" : "");
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  const std::string done = retry ? "retried" : "removed";
  print_out(session.json ? "{\"" + done + "\":" + http::json_quoted(options.id) + "}\n"
                         : "call " + options.id + (retry ? " is delivered again\n" : " is removed\n"));
  return 0;
}

}  // namespace

void add_calls(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* calls = app.add_subcommand("calls", "Look at asynchronous calls: those that wait, run or failed");
  calls->group("Deploy and call");
  calls->require_subcommand(1);
  calls->footer(
      "\nA call is made with `ebb invoke APP/FUNCTION --async`. One that is done is not kept: ebb usage --request CALL "
      "has its\nrecords, ebb logs APP/FUNCTION --request CALL what it printed.\n"
      "Example: ebb calls ls vision --state failed");

  auto* listing = calls->add_subcommand("ls", "List calls, the newest first");
  listing->add_option("app", options->subject, "APP or APP/FUNCTION; all if left out")->type_name("");
  listing->add_option("--state", options->state, "Only those: waiting, running or failed")->type_name("STATE");
  listing->add_option("--limit", options->limit, "At most so many; default 100")->type_name("N");
  add_common_options(*listing, session);
  listing->callback([&session, options] { session.action = [&session, options] { return list(session, *options); }; });

  const auto add_id = [options](CLI::App* command) {
    command->add_option("call", options->id, "CALL: its id")->required()->type_name("");
  };
  auto* one = calls->add_subcommand("show", "Show one call: what it waits for, or how it failed");
  add_id(one);
  one->add_flag("--event", options->event, "Print its event instead, as it came");
  add_common_options(*one, session);
  one->callback([&session, options] { session.action = [&session, options] { return show(session, *options); }; });

  auto* again =
      calls->add_subcommand("retry", "Deliver a call at once: one that failed, or waits for its next attempt");
  add_id(again);
  add_common_options(*again, session);
  again->callback(
      [&session, options] { session.action = [&session, options] { return act(session, *options, true); }; });

  auto* drop = calls->add_subcommand("rm", "Remove a call that waits or failed, with its event");
  add_id(drop);
  add_common_options(*drop, session);
  drop->callback(
      [&session, options] { session.action = [&session, options] { return act(session, *options, false); }; });
}

}  // namespace ebb::cli
