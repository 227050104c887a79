// `ebb ledger`: is the usage log whole, and are the sums that bills are made from those of its records.
#include "cli/commands.h"

namespace ebb::cli {
namespace {

constexpr auto kLookLimit = std::chrono::hours(1);  // it reads the whole log
constexpr int kDamaged = 1;

base::Result<int> look(const Session& session, const std::string& method, const std::string& path) {
  http::ClientRequest request{.method = method, .url = path};
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLookLimit));
  EBB_TRY(const boost::json::object report, json_object(response.body));
  const std::vector<std::string> damage = texts_in(report, "damage");
  const bool whole = damage.empty();
  if (session.json) {
    print_out(response.body);
    return whole ? 0 : kDamaged;
  }
  for (const std::string& one : damage)
    print_out(session.terminal.on_out(Colour::kRed, "damaged:") + " " + harmless(one) + "\n");
  print_out(std::to_string(count_of(report, "records")) + " records in " +
            std::to_string(count_of(report, "segments")) + " segments, " + std::to_string(count_of(report, "rolled")) +
            " of them in the sums\n");
  if (count_of(report, "retired") > 0)
    print_out(std::to_string(count_of(report, "retired")) + " more are in the sums and gone by usage_retention_days\n");
  if (count_of(report, "unchecked") > 0)
    print_out(std::to_string(count_of(report, "unchecked")) + " are of an early format without checksums\n");
  print_out(whole ? "everything agrees\n" : "what is damaged is on no bill\n");
  return whole ? 0 : kDamaged;
}

}  // namespace

void add_ledger(CLI::App& app, Session& session) {
  auto* ledger = app.add_subcommand("ledger", "Check the usage log and the sums that bills are made from");
  ledger->group("Look");
  ledger->require_subcommand(1);
  auto* verify = ledger->add_subcommand("verify", "Hold segments, checksums and sums against each other");
  add_common_options(*verify, session);
  verify->callback([&session] { session.action = [&session] { return look(session, "GET", "/api/v1/ledger"); }; });
  auto* rebuild = ledger->add_subcommand("rebuild", "Make the sums anew from the segments, then verify");
  add_common_options(*rebuild, session);
  rebuild->callback(
      [&session] { session.action = [&session] { return look(session, "POST", "/api/v1/ledger/rebuild"); }; });
}

}  // namespace ebb::cli
