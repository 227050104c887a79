// `ebb usage`: the usage records, one per invocation, and what they add up to.
#include <array>
#include <boost/json/array.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "cli/bill_page.h"
#include "cli/commands.h"

namespace ebb::cli {
namespace {

constexpr const char* kLimit = "100";

struct Options {
  std::string subject;
  std::string request;
  std::string since;
  std::string until;
  std::string limit = kLimit;
  bool whole_month = false;
  bool held = false;
  std::string month;
};

constexpr auto kExportLimit = std::chrono::hours(1);

// All records of a month as the daemon streams them, one JSON object a line.
base::Result<int> export_month(const Session& session, const Subject& subject, const Options& options) {
  if (!subject.function.empty()) return base::invalid_argument("an export is of an app or of all: name APP");
  http::ClientRequest request;
  request.url = "/api/v1/usage/records" + query_of(subject);
  if (!options.month.empty()) request.url += (subject.app.empty() ? "?month=" : "&month=") + encoded(options.month);
  request.on_chunk = [](std::string_view piece) {
    print_out(piece);
    return true;
  };
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kExportLimit));
  return response.status == 200 ? 0 : 1;
}

// What versions held in a month: the bill's sums, a line for each.
base::Result<int> held_in_month(const Session& session, const Subject& subject, const Options& options) {
  std::string path = "/api/v1/bill?by=version";
  if (!subject.app.empty()) path += "&app=" + encoded(subject.app);
  if (!options.month.empty()) path += "&month=" + encoded(options.month);
  EBB_TRY(const Rest::Document answer, session.rest().get(path));
  print_out(session.json ? answer.text : held_table(answer.object, subject.function, session.terminal));
  return 0;
}

std::string milliseconds_text(double milliseconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f ms", milliseconds);
  return text.data();
}

// "3", or "3 live" for a call by an alias.
std::string version_text(const boost::json::object& record) {
  const std::string alias = text_of(record, "alias");
  return std::to_string(count_of(record, "version")) + (alias.empty() ? "" : " " + alias);
}

void add_record(Table& table, const boost::json::object& record) {
  const bool closed = text_of(record, "state") != "open";
  table.add({text_of(record, "arrival"), text_of(record, "request_id"),
             text_of(record, "app") + "/" + text_of(record, "function"), version_text(record), text_of(record, "rung"),
             closed ? text_of(record, "outcome") : "running",
             closed ? milliseconds_text(number_of(record, "start_ms") + number_of(record, "init_ms")) : "-",
             closed ? milliseconds_text(number_of(record, "handler_ms")) : "-",
             closed ? std::to_string(count_of(record, "billed_ms")) + " ms" : "-",
             closed ? size_text(count_of(record, "memory_peak_bytes")) : "-", closed ? text_of(record, "cu") : "-"});
}

base::Result<int> usage(const Session& session, const Options& options) {
  Subject subject;
  if (!options.subject.empty()) {
    EBB_TRY(subject, parse_subject(options.subject));
  }
  if (!subject.version.empty()) return base::invalid_argument("usage is kept per function, name APP or APP/FUNCTION");
  if (options.whole_month && options.held) return base::invalid_argument("--export and --held exclude each other");
  const bool selects = !options.request.empty() || !options.since.empty() || !options.until.empty();
  if ((options.whole_month || options.held) && (selects || options.limit != kLimit)) {
    return base::invalid_argument(
        "--export and --held are of a whole month: --request, --since, --until and --limit "
        "are for the list of records");
  }
  if (options.whole_month) return export_month(session, subject, options);
  if (options.held) return held_in_month(session, subject, options);
  if (!options.month.empty()) return base::invalid_argument("--month is for --export and --held");
  const std::string query = query_of(subject);
  std::string path = "/api/v1/usage" + query + (query.empty() ? "?" : "&") + "limit=" + encoded(options.limit);
  if (!options.request.empty()) path += "&request=" + encoded(options.request);
  if (!options.since.empty()) path += "&since=" + encoded(options.since);
  if (!options.until.empty()) path += "&until=" + encoded(options.until);
  EBB_TRY(const Rest::Document answer, session.rest().get(path));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table(
      {"TIME", "REQUEST", "FUNCTION", "VERSION", "RUNG", "OUTCOME", "START", "HANDLER", "BILLED", "PEAK", "CU"});
  std::size_t shown = 0;
  for (const auto* record : objects_in(answer.object, "records")) {
    add_record(table, *record);
    ++shown;
  }
  if (shown > 0) print_out(table.text(session.terminal, {6, 7, 8, 9, 10}) + "\n");
  boost::json::object totals;
  if (const auto* member = answer.object.if_contains("totals"); member != nullptr && member->is_object())
    totals = member->get_object();
  const std::uint64_t invocations = count_of(totals, "invocations");
  const std::string newest = shown < invocations ? ", the newest " + std::to_string(shown) + " shown" : "";
  print_out(session.terminal.on_out(Colour::kBold,
                                    std::to_string(invocations) + (invocations == 1 ? " invocation" : " invocations")) +
            newest + ", " + std::to_string(count_of(totals, "billed_ms")) + " ms billed, " + text_of(totals, "cu") +
            " CU\n");
  return 0;
}

}  // namespace

void add_usage(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("usage", "Show what invocations used, in compute units (CU)");
  command->group("Look");
  command->add_option("app", options->subject, "APP or APP/FUNCTION; all when left out")->type_name("");
  command->add_option("--request", options->request, "Only the record of one invocation")->type_name("ID");
  command->add_option("--since", options->since, "Only from then on: 1h, or 2026-11-22T21:21:54Z")->type_name("TIME");
  command->add_option("--until", options->until, "Only before then, in the same forms")->type_name("TIME");
  command->add_option("--limit", options->limit, "List at most so many of the newest records (100); totals count all")
      ->type_name("N");
  command->add_flag("--export", options->whole_month, "All raw records of a month, one JSON object a line");
  command->add_flag("--held", options->held, "What zygotes and instances held in memory in a month, by version");
  command->add_option("--month", options->month, "Of --export and --held: 2026-11 (UTC); the present one when left out")
      ->type_name("YYYY-MM");
  add_common_options(*command, session);
  command->callback([&session, options] { session.action = [&session, options] { return usage(session, *options); }; });
}

}  // namespace ebb::cli
