// `ebb logs`: what functions printed, and with -f what they print from now on.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "cli/commands.h"

namespace ebb::cli {
namespace {

constexpr int kFollowWaitMs = 10'000;  // of one long poll

struct Options {
  std::string subject;
  bool follow = false;
  std::string request;
  std::string since;
  std::string limit = "1000";
};

std::string line_text(const Terminal& terminal, const boost::json::object& line, bool whole_app) {
  const std::string stream = text_of(line, "stream");
  std::string text = text_of(line, "text");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (terminal.out) text = harmless(text);
  if (stream != "out") text = terminal.on_out(stream == "platform" ? Colour::kRed : Colour::kYellow, text);
  const std::string where = whole_app ? text_of(line, "function") + " " : "";
  return terminal.on_out(Colour::kDim, text_of(line, "time") + " " + text_of(line, "request_id")) + " " + where +
         stream + " " + text + "\n";
}

// With -f and --json every line is a JSON object of its own, as programs read endless output.
void print_page(const Session& session, const Options& options, const Rest::Document& page, bool whole_app) {
  if (session.json && !options.follow) {
    print_out(page.text);
    return;
  }
  const auto* lines = page.object.if_contains("lines");
  if (lines == nullptr || !lines->is_array()) return;
  std::string out;
  for (const auto& value : lines->get_array()) {
    const auto* line = value.if_object();
    if (line == nullptr) continue;
    if (session.json) {
      out += boost::json::serialize(value) + "\n";
    } else {
      out += line_text(session.terminal, *line, whole_app);
    }
  }
  if (!out.empty()) print_out(out);
}

base::Result<int> logs(const Session& session, const Options& options) {
  EBB_TRY(const Subject subject, parse_subject(options.subject));
  if (!subject.version.empty()) return base::invalid_argument("logs are kept per function, name APP or APP/FUNCTION");
  std::string path = "/api/v1/logs" + query_of(subject) + "&limit=" + encoded(options.limit);
  if (!options.request.empty()) path += "&request=" + encoded(options.request);
  const std::string first = options.since.empty() ? path : path + "&since=" + encoded(options.since);
  EBB_TRY(Rest::Document page, session.rest().get(first));
  print_page(session, options, page, subject.function.empty());
  while (options.follow) {
    const std::string next =
        path + "&wait_ms=" + std::to_string(kFollowWaitMs) + "&cursor=" + encoded(text_of(page.object, "cursor"));
    EBB_TRY(page, session.rest().get(next));
    print_page(session, options, page, subject.function.empty());
  }
  return 0;
}

}  // namespace

void add_logs(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("logs", "Show what functions printed");
  command->group("Look");
  command->add_option("app", options->subject, "APP or APP/FUNCTION")->required()->type_name("");
  command->add_flag("-f,--follow", options->follow, "Go on with new lines until Ctrl-C");
  command->add_option("--request", options->request, "Only the lines of one invocation")->type_name("ID");
  command->add_option("--since", options->since, "Only from then on: 15m, or 2026-11-22T21:21:54Z")->type_name("TIME");
  command->add_option("--limit", options->limit, "At most so many of the newest lines (1000)")->type_name("N");
  add_common_options(*command, session);
  command->callback([&session, options] { session.action = [&session, options] { return logs(session, *options); }; });
}

}  // namespace ebb::cli
