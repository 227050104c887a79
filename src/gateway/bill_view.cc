#include "gateway/bill_view.h"

#include <boost/json/serialize.hpp>

#include "gateway/json_text.h"

namespace ebb::gateway {
namespace {

constexpr unsigned kVcpuPlaces = 6;  // thousandths x milliseconds
constexpr unsigned kWeightPlaces = 6;
constexpr unsigned kPricePlaces = 12;

std::string with_currency(std::string amount, const std::string& currency) {
  return currency.empty() ? std::move(amount) : std::move(amount) + " " + currency;
}

std::string held_json(const meter::HeldSum& held) {
  JsonObject tiers;
  for (std::size_t i = 0; i < model::kHeldTiers; ++i) {
    tiers.raw(model::name_of(static_cast<model::HeldTier>(i)),
              JsonObject()
                  .text("seconds", meter::scaled_text(held.ms[i], 3))
                  .text("gib_seconds", meter::gib_seconds_text(held.byte_ms[i]))
                  .close());
  }
  return tiers.close();
}

JsonObject& add_use(JsonObject& out, const meter::Quantities& used, const meter::CuParts& cu, std::uint64_t amount) {
  JsonObject outcomes;
  for (std::size_t i = 0; i < used.calls.size(); ++i) {
    if (used.calls[i] > 0) outcomes.number(model::name_of(static_cast<model::Outcome>(i)), used.calls[i]);
  }
  return out.number("invocations", used.all_calls())
      .number("billed_invocations", used.billed_calls())
      .raw("outcomes", outcomes.close())
      .number("billed_ms", used.billed_ms)
      .text("vcpu_seconds", meter::scaled_text(used.cpu_milli_ms, kVcpuPlaces))
      .text("gib_seconds", meter::gib_seconds_text(used.byte_ms))
      .text("cu_cpu", meter::cu_text(cu.cpu))
      .text("cu_memory", meter::cu_text(cu.memory))
      .text("cu_calls", meter::cu_text(cu.calls))
      .text("cu_sleeping", meter::cu_text(cu.sleeping))
      .text("cu", meter::cu_text(cu.sum()))
      .text("amount", meter::amount_text(amount))
      .raw("held", held_json(used.held));
}

std::string from_text(const meter::PriceList& list) { return list.from ? meter::day_text(*list.from) : std::string(); }

std::string list_json(const meter::PriceList& list) {
  const auto weight = [](std::uint64_t micro) { return meter::decimal_text(micro, kWeightPlaces); };
  JsonObject weights;
  weights.text("vcpu_second", weight(list.weights.vcpu_second))
      .text("gib_second", weight(list.weights.gib_second))
      .text("call", weight(list.weights.call))
      .text("sleeping_vcpu_second", weight(list.weights.sleeping_vcpu_second))
      .text("sleeping_gib_second", weight(list.weights.sleeping_gib_second));
  JsonArray tiers;
  for (const meter::Tier& tier : list.tiers) {
    JsonObject one;
    if (tier.up_to) one.text("up_to", std::to_string(*tier.up_to));
    tiers.add(one.text("price", meter::decimal_text(tier.price, kPricePlaces)).close());
  }
  return JsonObject()
      .text("from", from_text(list))
      .raw("cu", weights.close())
      .text("free", std::to_string(list.free_cu))
      .raw("tiers", tiers.close())
      .close();
}

std::string app_json(const meter::AppBill& app, const meter::Prices& prices) {
  JsonArray lines;
  for (const meter::BillLine& line : app.lines) {
    JsonObject one;
    one.text("label", line.label);
    lines.add(add_use(one, line.used, line.cu, line.amount).close());
  }
  JsonArray tiers;
  for (const meter::TierUse& tier : app.tiers) {
    tiers.add(JsonObject()
                  .text("from", from_text(prices.lists[tier.list]))
                  .flag("free", tier.free)
                  .text("price", meter::decimal_text(tier.price, kPricePlaces))
                  .text("cu", meter::cu_text(tier.cu))
                  .text("amount", meter::amount_text(tier.amount))
                  .close());
  }
  JsonObject total;
  return JsonObject()
      .text("app", app.app)
      .raw("lines", lines.close())
      .raw("tiers", tiers.close())
      .raw("total", add_use(total, app.used, app.cu, app.amount).close())
      .close();
}

std::string texts(const std::vector<std::string>& values) {
  JsonArray list;
  for (const std::string& value : values) {
    std::string quoted;
    append_json(quoted, value);
    list.add(quoted);
  }
  return list.close();
}

std::string bill_object(const meter::Bill& bill, std::string_view organisation) {
  JsonArray lists;
  for (const std::size_t list : bill.lists) lists.add(list_json(bill.prices.lists[list]));
  JsonArray apps;
  for (const meter::AppBill& app : bill.apps) apps.add(app_json(app, bill.prices));
  return JsonObject()
      .text("month", meter::to_string(bill.month))
      .text("organisation", organisation)
      .text("by", meter::name_of(bill.by))
      .text("currency", bill.prices.currency)
      .number("open", bill.open)
      .raw("damage", texts(bill.damage))
      .raw("prices", lists.close())
      .raw("apps", apps.close())
      .text("amount", meter::amount_text(bill.amount))
      .close();
}

// What one invocation is charged for, step by step.
void add_record_steps(JsonArray& steps, const model::UsageRecord& record, const meter::PriceList& list) {
  const auto say = [&](const std::string& text) {
    std::string quoted;
    append_json(quoted, text);
    steps.add(quoted);
  };
  const model::UsageEnd& end = *record.end;
  say("invocation " + base::to_string(record.invocation) + " of " + record.app + "/" + record.function + " version " +
      std::to_string(record.version_number) + " arrived at " + base::to_rfc3339(record.arrival) + " and ended as " +
      std::string(model::name_of(end.outcome)));
  if (!model::is_billed(end.outcome)) {
    say(std::string("not billed: ") + model::billing_reason(end.outcome));
    return;
  }
  const meter::Quantities used = meter::quantities_of(record);
  const meter::CuParts cu = meter::cu_of(used, list.weights);
  const auto weight = [](std::uint64_t micro) { return meter::decimal_text(micro, kWeightPlaces); };
  say(std::string("billed: ") + model::billing_reason(end.outcome) + ", " + std::to_string(end.billed_ms) +
      " ms (the time in the handler, rounded up; queueing, start and initialisation are not billed)");
  say("processor: " + meter::decimal_text(record.cpu_millis, 3) + " vCPU x " + std::to_string(end.billed_ms) +
      " ms = " + meter::scaled_text(used.cpu_milli_ms, kVcpuPlaces) + " vCPU-s, x " + weight(list.weights.vcpu_second) +
      " = " + meter::cu_text(cu.cpu) + " CU");
  say("memory: " + std::to_string(record.memory_limit.count) + " bytes x " + std::to_string(end.billed_ms) +
      " ms = " + meter::gib_seconds_text(used.byte_ms) + " GiB-s, x " + weight(list.weights.gib_second) + " = " +
      meter::cu_text(cu.memory) + " CU");
  say("call: 1 x " + weight(list.weights.call) + " = " + meter::cu_text(cu.calls) + " CU");
  say("together " + meter::cu_text(cu.sum()) + " CU (exact sums; shown rounded half up to nine decimals)");
}

void add_bill_steps(JsonArray& steps, const model::UsageRecord& record, const meter::Bill& bill) {
  const auto say = [&](const std::string& text) {
    std::string quoted;
    append_json(quoted, text);
    steps.add(quoted);
  };
  const std::string month = meter::to_string(bill.month);
  for (const meter::AppBill& app : bill.apps) {
    for (const meter::BillLine& line : app.lines) {
      if (line.label != record.function) continue;
      say("line " + line.label + " of " + month + ": " + std::to_string(line.used.billed_calls()) +
          " billed calls of " + std::to_string(line.used.all_calls()) + ", " + std::to_string(line.used.billed_ms) +
          " ms, " + meter::cu_text(line.cu.sum()) + " CU" +
          (line.cu.sleeping == 0 ? "" : ", of which " + meter::cu_text(line.cu.sleeping) + " for what scale.min kept"));
    }
    say("app " + app.app + " in " + month + ": " + meter::cu_text(app.cu.sum()) + " CU");
    for (const meter::TierUse& tier : app.tiers) {
      say(std::string(tier.free ? "free quota: " : "tier: ") + meter::cu_text(tier.cu) + " CU x " +
          with_currency(meter::decimal_text(tier.price, kPricePlaces), bill.prices.currency) + " = " +
          with_currency(meter::amount_text(tier.amount), bill.prices.currency));
    }
    say("amount of the app: " + with_currency(meter::amount_text(app.amount), bill.prices.currency) +
        " (rounded once, half up, to six decimals)");
    for (const meter::BillLine& line : app.lines) {
      if (line.label != record.function) continue;
      say("the line's part, by its share of the CU: " +
          with_currency(meter::amount_text(line.amount), bill.prices.currency));
    }
  }
}

}  // namespace

std::string bill_json(const meter::Bill& bill, std::string_view organisation) {
  return bill_object(bill, organisation) + "\n";
}

std::string quotas_json(const std::vector<node::Quotas::View>& quotas) {
  JsonArray list;
  for (const node::Quotas::View& view : quotas) {
    const auto bound = [](std::uint64_t value, unsigned places) {
      return value == 0 ? std::string() : meter::decimal_text(value, places);
    };
    list.add(JsonObject()
                 .text("app", view.quota.app)
                 .text("organisation", view.quota.organisation)
                 .text("calls_per_second", bound(view.quota.milli_calls_per_second, 3))
                 .text("calls_at_once", bound(view.quota.calls_at_once, 0))
                 .text("memory", view.quota.memory.count == 0 ? "" : base::to_string(view.quota.memory))
                 .text("storage", view.quota.storage.count == 0 ? "" : base::to_string(view.quota.storage))
                 .number("calls_now", view.calls_now)
                 .text("memory_now", base::to_string(view.memory_now))
                 .close());
  }
  return JsonObject().raw("quotas", list.close()).close() + "\n";
}

std::string budgets_json(const std::vector<meter::BudgetView>& budgets) {
  JsonArray list;
  const auto limit = [](std::uint64_t nano) {
    return nano == model::Budget::kAny ? std::string() : meter::decimal_text(nano, 9);
  };
  for (const meter::BudgetView& budget : budgets) {
    const bool spent = budget.used_nano_cu >= budget.limit_nano_cu || budget.used_nano_money >= budget.limit_nano_money;
    list.add(JsonObject()
                 .text("app", budget.app)
                 .text("organisation", budget.organisation)
                 .text("month", meter::to_string(budget.month))
                 .text("cu_a_month", limit(budget.limit_nano_cu))
                 .text("cu_used", meter::decimal_text(budget.used_nano_cu, 9))
                 .text("money_a_month", limit(budget.limit_nano_money))
                 .text("money_used", meter::decimal_text(budget.used_nano_money, 9))
                 .text("currency", budget.currency)
                 .text("state", spent ? "spent" : "open")
                 .close());
  }
  return JsonObject().raw("budgets", list.close()).close() + "\n";
}

std::string ledger_json(const node::LedgerReport& report) {
  return JsonObject()
             .number("segments", report.segments)
             .number("records", report.records)
             .number("unchecked", report.unchecked)
             .number("rolled", report.rolled)
             .number("retired", report.retired)
             .raw("damage", texts(report.damage))
             .close() +
         "\n";
}

std::string explanation_json(const node::BillExplanation& explanation) {
  const meter::Bill& bill = *explanation.bill;
  const model::UsageRecord& record = explanation.record;
  JsonArray steps;
  add_record_steps(steps, record, bill.prices.lists[bill.prices.list_on(meter::day_of(record.arrival))]);
  add_bill_steps(steps, record, bill);
  return JsonObject()
             .raw("record", boost::json::serialize(model::to_json(record)))
             .raw("steps", steps.close())
             .raw("bill", bill_object(bill, ""))
             .close() +
         "\n";
}

}  // namespace ebb::gateway
