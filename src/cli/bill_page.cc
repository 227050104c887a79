#include "cli/bill_page.h"

#include <array>
#include <boost/json/array.hpp>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include "cli/rest.h"

namespace ebb::cli {
namespace {

using Object = boost::json::object;

// What a line of the bill shows, beside its label: the member of the answer and its title.
struct Column {
  std::string_view member;
  std::string_view title;
  bool counted;  // a number in the answer, else a decimal in a string
};
constexpr std::array<Column, 6> kColumns = {{{"billed_invocations", "CALLS", true},
                                             {"billed_ms", "BILLED MS", true},
                                             {"vcpu_seconds", "VCPU-S", false},
                                             {"gib_seconds", "GIB-S", false},
                                             {"cu", "CU", false},
                                             {"amount", "AMOUNT", false}}};

const Object& object_in(const Object& object, std::string_view name) {
  static const Object kNone;
  const auto* member = object.if_contains(name);
  return member != nullptr && member->is_object() ? member->get_object() : kNone;
}

std::string shown(const Object& line, const Column& column) {
  return column.counted ? std::to_string(count_of(line, column.member)) : text_of(line, column.member);
}

std::vector<std::string> row_of(std::string label, const Object& line) {
  std::vector<std::string> row = {std::move(label)};
  for (const Column& column : kColumns) row.push_back(shown(line, column));
  return row;
}

// "12 platform_fault, 3 refused": what was not billed.
std::string unbilled_text(const Object& total) {
  const Object& outcomes = object_in(total, "outcomes");
  std::string text;
  for (const std::string_view name : {"platform_fault", "refused"}) {
    const std::uint64_t count = count_of(outcomes, name);
    if (count > 0) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(name);
  }
  return text;
}

// "held: zygote 12.3 GiB-s, idle 1.2 GiB-s; for what scale.min kept 0.450000000 CU": what was there besides the calls.
std::string held_text(const Object& total) {
  std::string text;
  for (const auto& [tier, held] : object_in(total, "held")) {
    const std::string amount = held.is_object() ? text_of(held.get_object(), "gib_seconds") : std::string();
    if (amount.empty() || amount == "0.000000000") continue;
    text += (text.empty() ? "held: " : ", ") + std::string(tier) + " " + amount + " GiB-s";
  }
  return text.empty() ? text : text + "; of it scale.min kept for " + text_of(total, "cu_sleeping") + " CU";
}

std::string tier_text(const Object& tier, const std::string& currency) {
  const std::string list = text_of(tier, "from").empty() ? "" : " (prices from " + text_of(tier, "from") + ")";
  return (flag_of(tier, "free") ? "free quota: " : "tier: ") + text_of(tier, "cu") + " CU x " + text_of(tier, "price") +
         " " + currency + " = " + text_of(tier, "amount") + " " + currency + list;
}

// One line for each thing that could not be read.
std::string damage_text(const Object& bill) {
  std::string text;
  for (const std::string& one : texts_in(bill, "damage")) text += "not on it: " + harmless(one) + "\n";
  return text;
}

std::string weights_text(const Object& list) {
  const Object& cu = object_in(list, "cu");
  const std::string from = text_of(list, "from");
  return (from.empty() ? std::string("CU") : "CU from " + from) + " = vCPU-s x " + text_of(cu, "vcpu_second") +
         " + GiB-s x " + text_of(cu, "gib_second") + " + calls x " + text_of(cu, "call") +
         "; kept by scale.min: vCPU-s x " + text_of(cu, "sleeping_vcpu_second") + " + GiB-s x " +
         text_of(cu, "sleeping_gib_second");
}

constexpr std::string_view kRounding =
    "CU are exact and shown rounded half up to nine decimals; an app's amount is rounded once, half up, to six "
    "decimals, and its lines are parts of it by their share of the CU.";

// "Bill of acme for 2026-11".
std::string heading(const Object& bill) {
  const std::string organisation = text_of(bill, "organisation");
  return (organisation.empty() ? "Bill" : "Bill of " + organisation) + " for " + text_of(bill, "month");
}

std::string csv_field(std::string text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_row(const std::vector<std::string>& cells, std::string_view cell) {
  std::string row = "<tr>";
  for (const std::string& text : cells)
    row += "<" + std::string(cell) + ">" + escaped(text) + "</" + std::string(cell) + ">";
  return row + "</tr>\n";
}

// "2026-11-01 to 2026-11-30 (UTC)".
std::string period(const Object& bill) {
  const std::string month = text_of(bill, "month");
  int year = 0;
  unsigned number = 0;
  if (std::sscanf(month.c_str(), "%d-%u", &year, &number) != 2 || number < 1 || number > 12) return month;
  const auto last = std::chrono::year(year) / std::chrono::month(number) / std::chrono::last;
  return month + "-01 to " + month + "-" + std::to_string(static_cast<unsigned>(last.day())) + " (UTC)";
}

// What each app comes to, where there is more than one.
std::string html_summary(const Object& bill, const std::string& currency) {
  const std::vector<const Object*> apps = objects_in(bill, "apps");
  if (apps.size() < 2 || currency.empty()) return {};
  std::string out = "<table>\n" + html_row({"app", "CALLS", "CU", "AMOUNT"}, "th");
  for (const Object* app : apps) {
    const Object& total = object_in(*app, "total");
    out += html_row({text_of(*app, "app"), std::to_string(count_of(total, "billed_invocations")), text_of(total, "cu"),
                     text_of(total, "amount")},
                    "td");
  }
  out += html_row({"together", "", "", text_of(bill, "amount")}, "td");
  return out + "</table>\n";
}

std::vector<std::string> titles(const Object& bill) {
  std::vector<std::string> head = {text_of(bill, "by")};
  for (const Column& column : kColumns) head.emplace_back(column.title);
  return head;
}

}  // namespace

std::string bill_table(const Object& bill, const Terminal& terminal) {
  const std::string currency = text_of(bill, "currency");
  std::string out = terminal.on_out(Colour::kBold, heading(bill)) + "\n";
  for (const Object* app : objects_in(bill, "apps")) {
    const Object& total = object_in(*app, "total");
    out += "\n" + terminal.on_out(Colour::kBold, text_of(*app, "app")) + "\n";
    Table table(titles(bill));
    for (const Object* line : objects_in(*app, "lines")) table.add(row_of(text_of(*line, "label"), *line));
    table.add(row_of("total", total));
    out += table.text(terminal, {1, 2, 3, 4, 5, 6});
    const std::string unbilled = unbilled_text(total);
    if (!unbilled.empty()) out += "not billed: " + unbilled + "\n";
    const std::string held = held_text(total);
    if (!held.empty()) out += held + "\n";
    if (currency.empty()) continue;
    for (const Object* tier : objects_in(*app, "tiers")) out += tier_text(*tier, currency) + "\n";
  }
  if (objects_in(bill, "apps").empty()) out += "nothing was used\n";
  out += "\n";
  for (const Object* list : objects_in(bill, "prices")) out += weights_text(*list) + "\n";
  if (count_of(bill, "open") > 0)
    out += std::to_string(count_of(bill, "open")) + " invocations still run and are not on it\n";
  out += terminal.on_out(Colour::kRed, damage_text(bill));
  if (currency.empty()) {
    return out + "no price_file is configured: the bill is in CU alone\n";
  }
  return out + std::string(kRounding) + "\n" +
         terminal.on_out(Colour::kBold, "amount " + text_of(bill, "amount") + " " + currency) + "\n";
}

std::string held_table(const Object& bill, const std::string& function, const Terminal& terminal) {
  Table table({"FUNCTION", "ZYGOTE", "PROVISIONED", "IDLE", "FROZEN", "ACTIVE", "CU"});
  std::size_t rows = 0;
  for (const Object* app : objects_in(bill, "apps")) {
    for (const Object* line : objects_in(*app, "lines")) {
      const std::string label = text_of(*line, "label");  // "digits:3"
      if (!function.empty() && label.substr(0, label.rfind(':')) != function) continue;
      std::vector<std::string> row = {text_of(*app, "app") + "/" + label};
      const Object& held = object_in(*line, "held");
      for (const std::string_view tier : {"zygote", "provisioned", "idle", "frozen", "active"})
        row.push_back(text_of(object_in(held, tier), "gib_seconds"));
      row.push_back(text_of(*line, "cu_sleeping"));
      table.add(std::move(row));
      ++rows;
    }
  }
  return terminal.on_out(Colour::kBold, "Held in " + text_of(bill, "month") + ", in GiB-seconds") + "\n" +
         (rows == 0 ? "nothing was held\n" : table.text(terminal, {1, 2, 3, 4, 5, 6}));
}

std::string bill_csv(const Object& bill) {
  std::string out = "month,app," + text_of(bill, "by") +
                    ",invocations,billed_invocations,billed_ms,vcpu_seconds,gib_seconds,cu_cpu,cu_memory,cu_calls,cu,"
                    "amount,currency,cu_sleeping,held_zygote,held_provisioned,held_idle,held_frozen,held_active\r\n";
  for (const Object* app : objects_in(bill, "apps")) {
    for (const Object* line : objects_in(*app, "lines")) {
      std::vector<std::string> fields = {text_of(bill, "month"),
                                         text_of(*app, "app"),
                                         text_of(*line, "label"),
                                         std::to_string(count_of(*line, "invocations")),
                                         std::to_string(count_of(*line, "billed_invocations")),
                                         std::to_string(count_of(*line, "billed_ms")),
                                         text_of(*line, "vcpu_seconds"),
                                         text_of(*line, "gib_seconds"),
                                         text_of(*line, "cu_cpu"),
                                         text_of(*line, "cu_memory"),
                                         text_of(*line, "cu_calls"),
                                         text_of(*line, "cu"),
                                         text_of(*line, "amount"),
                                         text_of(bill, "currency"),
                                         text_of(*line, "cu_sleeping")};
      const Object& held = object_in(*line, "held");
      for (const std::string_view tier : {"zygote", "provisioned", "idle", "frozen", "active"})
        fields.push_back(text_of(object_in(held, tier), "gib_seconds"));
      for (std::size_t i = 0; i < fields.size(); ++i) out += (i == 0 ? "" : ",") + csv_field(fields[i]);
      out += "\r\n";
    }
  }
  return out;
}

std::string bill_html(const Object& bill) {
  const std::string title = escaped(heading(bill));
  const std::string currency = text_of(bill, "currency");
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title +
      "</title>\n<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
      "1rem}table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:right;"
      "border-bottom:1px solid #ccc;font-variant-numeric:tabular-nums}td:first-child,th:first-child{"
      "text-align:left}tr:last-child{font-weight:bold}@media "
      "print{h2,table{break-inside:avoid}}small{color:#555}</style></head><body>\n<h1>" +
      title + "</h1>\n<p>" + escaped(period(bill)) + (currency.empty() ? "" : ", amounts in " + escaped(currency)) +
      "</p>\n" + html_summary(bill, currency);
  if (objects_in(bill, "apps").empty()) out += "<p>Nothing was used.</p>\n";
  for (const Object* app : objects_in(bill, "apps")) {
    const Object& total = object_in(*app, "total");
    out += "<h2>" + escaped(text_of(*app, "app")) + "</h2>\n<table>\n" + html_row(titles(bill), "th");
    for (const Object* line : objects_in(*app, "lines")) out += html_row(row_of(text_of(*line, "label"), *line), "td");
    out += html_row(row_of("total", total), "td") + "</table>\n";
    const std::string unbilled = unbilled_text(total);
    if (!unbilled.empty()) out += "<p>Not billed: " + escaped(unbilled) + ".</p>\n";
    const std::string held = held_text(total);
    if (!held.empty()) out += "<p>" + escaped(held) + ".</p>\n";
    if (currency.empty()) continue;
    out += "<ul>\n";
    for (const Object* tier : objects_in(*app, "tiers"))
      out += "<li>" + escaped(tier_text(*tier, currency)) + "</li>\n";
    out += "</ul>\n";
  }
  if (!currency.empty()) out += "<h2>Amount: " + escaped(text_of(bill, "amount")) + " " + escaped(currency) + "</h2>\n";
  out += "<small>\n";
  for (const Object* list : objects_in(bill, "prices")) out += "<p>" + escaped(weights_text(*list)) + "</p>\n";
  if (count_of(bill, "open") > 0) {
    out += "<p>" + std::to_string(count_of(bill, "open")) + " invocations still ran when it was made.</p>\n";
  }
  out += "<p>" + escaped(damage_text(bill)) + "</p>\n";
  return out + "<p>" + escaped(kRounding) + "</p>\n</small></body></html>\n";
}

}  // namespace ebb::cli
