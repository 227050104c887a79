// Prices and bills: what is read, what is refused, and that every figure is exact and adds up.
#include "meter/bill.h"

#include <gtest/gtest.h>

#include <random>

namespace ebb::meter {
namespace {

using model::Outcome;

constexpr const char* kFile = R"(currency: EUR
prices:
  - from: 2026-01-01
    free: 10
    tiers: [{up_to: 100, price: 0.5}, {price: 0.25}]
  - from: 2026-02-15
    cu: {vcpu_second: 2, gib_second: 0, call: 0}
    tiers: [{price: 0.000000000001}]
)";

model::UsageRecord record(Day day, std::uint64_t billed_ms, Outcome outcome = Outcome::kOk, std::string function = "f",
                          std::uint32_t version = 1) {
  model::UsageRecord one{.arrival = base::WallTime(std::chrono::days(day)) + std::chrono::hours(7),
                         .version_number = version,
                         .app = "a",
                         .function = std::move(function),
                         .trigger = model::Trigger::kHttp,
                         .memory_limit = {1ull << 30},
                         .cpu_millis = 1000};
  one.end = model::UsageEnd{.outcome = outcome, .billed_ms = billed_ms};
  return one;
}

Bill bill_of(const std::vector<model::UsageRecord>& records, const Prices& prices, BillBy by = BillBy::kFunction) {
  UsageSum sum;
  for (const model::UsageRecord& one : records) EXPECT_TRUE(sum.add(one));
  return *bill_for(month_of(records.at(0).arrival), by, prices, sum);
}

TEST(Prices, ReadsListsWithTheDaysTheyBeginOn) {
  const Prices prices = *parse_prices(kFile);
  ASSERT_EQ(prices.lists.size(), 3U);  // before the first day: the default weights and no price
  EXPECT_EQ(prices.lists[0], PriceList{});
  EXPECT_EQ(prices.lists[1].tiers[0], (Tier{.up_to = 100, .price = 500'000'000'000}));
  EXPECT_EQ(prices.lists[2].weights.vcpu_second, 2'000'000U);
  EXPECT_EQ(prices.list_on(*parse_day("2025-12-31")), 0U);
  EXPECT_EQ(prices.list_on(*parse_day("2026-01-01")), 1U);
  EXPECT_EQ(prices.list_on(*parse_day("2026-02-14")), 1U);
  EXPECT_EQ(prices.list_on(*parse_day("2026-02-15")), 2U);
  EXPECT_EQ(*load_prices(""), Prices{});
  EXPECT_EQ(load_prices("/nowhere/prices.yaml").error().code, base::Code::kNotFound);
}

TEST(Prices, RefusesWhatIsWrongWithLineAndReason) {
  const auto error = [](const std::string& yaml) {
    const auto prices = parse_prices(yaml);
    return prices ? std::string("no error") : prices.error().message;
  };
  const auto list = [&](const std::string& text) { return error("currency: EUR\nprices:\n  - " + text); };
  const std::pair<std::string, const char*> cases[] = {
      {error(""), "is empty"},
      {error("prices: []"), "currency"},
      {error("currency: eur\nprices: [{tiers: [{price: 1}]}]"), "capital letters"},
      {error("currency: EUR"), "prices"},
      {list("{tiers: []}"), "1 to 20 tiers"},
      {list("{tier: [{price: 1}]}"), "did you mean tiers"},
      {list("{free: 1}"), "tiers: is missing"},
      {list("{tiers: [{price: -1}]}"), "must not be negative"},
      {list("{tiers: [{price: 1e3}]}"), "write a decimal number"},
      {list("{tiers: [{price: .5}]}"), "write a decimal number"},
      {list("{tiers: [{price: 0.0000000000001}]}"), "at most 12 decimals"},
      {list("{tiers: [{price: 1000001}]}"), "absurd"},
      {list("{tiers: [{price: 99999999999999999999}]}"), "absurd"},
      {list("{tiers: [{price: 1000000.1}]}"), "absurd"},
      {list("{free: 0.5, tiers: [{price: 1}]}"), "whole number"},
      {list("{free: -5, tiers: [{price: 1}]}"), "negative"},
      {list("{cu: {vcpu_second: -1}, tiers: [{price: 1}]}"), "negative"},
      {list("{cu: {gb_second: 1}, tiers: [{price: 1}]}"), "gib_second"},
      {list("{tiers: [{up_to: 10, price: 1}]}"), "last tier has no end"},
      {list("{tiers: [{price: 1}, {price: 2}]}"), "only the last tier has no end"},
      {list("{tiers: [{up_to: 10, price: 1}, {up_to: 10, price: 2}, {price: 3}]}"), "not overlap"},
      {list("{tiers: [{up_to: 10, price: 1}, {up_to: 9, price: 2}, {price: 3}]}"), "not overlap"},
      {list("{tiers: [{up_to: 0, price: 1}, {price: 3}]}"), "not overlap"},
      {list("{from: 2026-02-30, tiers: [{price: 1}]}"), "write a day"},
      {list("{from: yesterday, tiers: [{price: 1}]}"), "write a day"},
      {list("{from: 2026-02-01, tiers: [{price: 1}]}\n  - {from: 2026-02-01, tiers: [{price: 1}]}"), "in the order"},
      {list("{from: 2026-02-01, tiers: [{price: 1}]}\n  - {from: 2026-01-01, tiers: [{price: 1}]}"), "in the order"},
      {list("{tiers: [{price: 1}]}\n  - {tiers: [{price: 1}]}"), "only the first list"},
  };
  for (const auto& [message, part] : cases)
    EXPECT_NE(message.find(part), std::string::npos) << message << " / " << part;
  EXPECT_EQ(list("{tiers: [{price: -1}]}").substr(0, 7), "line 3:");
}

TEST(Prices, DecimalsComeBackAsTheyWere) {
  for (const char* text : {"0", "1", "0.5", "0.00012", "0.000000000001", "1000000"})
    EXPECT_EQ(decimal_text(*parse_decimal(text, 12, 1'000'000), 12), text);
  EXPECT_EQ(*parse_decimal("0.150", 6, 1), 150'000U);
}

TEST(Bill, ALineIsTheExactSum) {
  const Day day = *parse_day("2026-01-10");
  const Bill bill = bill_of({record(day, 1000), record(day, 500, Outcome::kTimedOut),
                             record(day, 9, Outcome::kPlatformFault), record(day, 0, Outcome::kRefused)},
                            Prices{});
  ASSERT_EQ(bill.apps.size(), 1U);
  const BillLine& line = bill.apps[0].lines.at(0);
  EXPECT_EQ(line.used.all_calls(), 4U);
  EXPECT_EQ(line.used.billed_calls(), 2U);
  EXPECT_EQ(line.used.billed_ms, 1500U);
  EXPECT_EQ(scaled_text(line.used.cpu_milli_ms, 6), "1.500000");
  EXPECT_EQ(gib_seconds_text(line.used.byte_ms), "1.500000000");
  EXPECT_EQ(cu_text(line.cu.sum()), "1.740000000");  // 1.5 + 0.225 + 0.015
  EXPECT_EQ(bill.amount, 0U);
}

TEST(Bill, FreeQuotaThenTiersThenTheNextList) {
  const Prices prices = *parse_prices(kFile);
  // 115.75 CU by the first list, 60 by the second: 10 free, 100 at 0.5, the rest at 0.25; then nearly nothing.
  std::vector<model::UsageRecord> records(100, record(*parse_day("2026-02-14"), 1000));
  records.push_back(record(*parse_day("2026-02-15"), 30'000));
  const Bill bill = bill_of(records, prices);
  const AppBill& app = bill.apps.at(0);
  ASSERT_EQ(app.tiers.size(), 4U);
  EXPECT_TRUE(app.tiers[0].free);
  EXPECT_EQ(cu_text(app.tiers[0].cu), "10.000000000");
  EXPECT_EQ(cu_text(app.tiers[1].cu), "100.000000000");
  EXPECT_EQ(app.tiers[1].amount, 50'000'000U);
  EXPECT_EQ(cu_text(app.tiers[2].cu), "5.750000000");
  EXPECT_EQ(app.tiers[2].amount, 1'437'500U);
  EXPECT_EQ(cu_text(app.tiers[3].cu), "60.000000000");
  EXPECT_EQ(app.amount, 51'437'500U);  // 60e-12 more rounds away
  EXPECT_EQ(bill.lists, (std::vector<std::size_t>{1, 2}));
}

TEST(Bill, AFreeQuotaOfTheNextListCountsTheWholeMonth) {
  const Prices prices = *parse_prices(
      "{currency: X, prices: [{from: 2026-02-01, cu: {gib_second: 0, call: 0}, tiers: [{price: 1}]},"
      "{from: 2026-02-15, cu: {gib_second: 0, call: 0}, free: 30, tiers: [{price: 2}]}]}");
  const Bill bill =
      bill_of({record(*parse_day("2026-02-01"), 20'000), record(*parse_day("2026-02-20"), 20'000)}, prices);
  EXPECT_EQ(bill.amount, (20U + 20U) * 1'000'000);  // 20 at 1; then 10 up to the 30th are free, 10 at 2
}

TEST(Bill, PartsAddUpToTheLastDigitHoweverItIsCut) {
  const Prices prices = *parse_prices(
      "{currency: EUR, prices: [{free: 3, tiers: [{up_to: 7, price: 0.333333333333}, {price: 0.123456789}]}]}");
  std::mt19937 generator(7);
  const auto random = [&generator] { return static_cast<std::uint32_t>(generator()); };
  for (int round = 0; round < 50; ++round) {
    std::vector<model::UsageRecord> records;
    for (int i = 0; i < 60; ++i) {
      const Day day = *parse_day("2026-03-01") + static_cast<Day>(random() % 31);
      records.push_back(record(day, random() % 3000, static_cast<Outcome>(random() % model::kOutcomes),
                               "f" + std::to_string(random() % 5), random() % 4));
      if (random() % 2 != 0) records.back().alias = "live";
      records.back().memory_limit = {random() % (1u << 31)};
      records.back().cpu_millis = random() % 4000;
    }
    std::uint64_t amount = 0;
    for (const BillBy by : {BillBy::kFunction, BillBy::kVersion, BillBy::kAlias, BillBy::kTrigger, BillBy::kDay}) {
      const Bill bill = bill_of(records, prices, by);
      const AppBill& app = bill.apps.at(0);
      std::uint64_t lines = 0;
      std::uint64_t tiers = 0;
      Exact cu = 0;
      for (const BillLine& line : app.lines) {
        lines += line.amount;
        cu += line.cu.sum();
      }
      for (const TierUse& tier : app.tiers) tiers += tier.amount;
      EXPECT_EQ(lines, app.amount);
      EXPECT_EQ(tiers, app.amount);
      EXPECT_EQ(cu, app.cu.sum());
      if (by != BillBy::kFunction) {
        EXPECT_EQ(app.amount, amount) << "another cut, another amount";
      }
      amount = app.amount;
    }
  }
}

TEST(Bill, ByAliasCallsByNoneAreTheFunctionsOwnLine) {
  const Day day = *parse_day("2026-03-01");
  std::vector<model::UsageRecord> records(4, record(day, 1000));
  records[1].alias = records[2].alias = "live";
  records[2].version_number = 2;
  records[3].function = "g";
  records[3].alias = "live";
  const Bill bill = bill_of(records, {}, BillBy::kAlias);
  const std::vector<BillLine>& lines = bill.apps.at(0).lines;
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].label, "f");
  EXPECT_EQ(lines[1].label, "f:live");
  EXPECT_EQ(lines[1].used.all_calls(), 2u) << "of both versions that it stood for";
  EXPECT_EQ(lines[2].label, "g:live");
}

TEST(Bill, HugeUseIsExactAndAnAbsurdAmountIsAnError) {
  UsageKey key{.app = "a", .function = "f", .day = *parse_day("2026-03-01")};
  Quantities huge{.billed_ms = 1'000'000'000'000,
                  .cpu_milli_ms = Wide{64'000} * 1'000'000'000'000,
                  .byte_ms = (Wide{1} << 36) * 1'000'000'000'000};
  huge.calls[0] = 1'000'000'000;
  UsageSum sum;
  ASSERT_TRUE(sum.add(key, huge));
  const Month month{2026, 3};
  const Prices cheap = *parse_prices("{currency: EUR, prices: [{tiers: [{price: 0.00001}]}]}");
  EXPECT_EQ(amount_text(bill_for(month, BillBy::kFunction, cheap, sum)->amount), "736075.000000");
  const Prices dear = *parse_prices("{currency: EUR, prices: [{tiers: [{price: 1000000}]}]}");
  EXPECT_EQ(bill_for(month, BillBy::kFunction, dear, sum).error().code, base::Code::kTooLarge);
}

TEST(Months, BeginAndEndAtMidnightUtc) {
  EXPECT_EQ(base::to_rfc3339(parse_month("2026-12")->begin()), "2026-12-01T00:00:00.000Z");
  EXPECT_EQ(base::to_rfc3339(parse_month("2026-12")->end()), "2027-01-01T00:00:00.000Z");
  EXPECT_EQ(to_string(month_of(parse_month("2028-02")->end() - std::chrono::nanoseconds(1))), "2028-02");
  for (const char* bad : {"", "2026", "2026-13", "2026-00", "26-01", "2026-1", "2026-011", "1969-12", "2026/01"})
    EXPECT_FALSE(parse_month(bad)) << bad;
}

// A minute of two instances that scale.min kept, at 1 vCPU and 1 GiB; zygotes and idle instances beside them.
TEST(Bill, WhatScaleMinKeptIsBilledAtTheSleepingRateAndTheRestOfWhatWasHeldIsNot) {
  const Day day = *parse_day("2026-01-31");
  model::UsageRecord held = record(day, 0);
  held.end.reset();
  held.trigger = model::Trigger::kHeld;
  held.held = model::HeldUse{
      .for_ms = 60'000, .ms = {60'000, 120'000, 30'000, 0, 7}, .byte_ms = {60'000ull << 30, 1ull << 30, 0, 0, 3}};
  const Bill sleeping = bill_of({held}, Prices{});
  ASSERT_EQ(sleeping.apps.size(), 1U);
  EXPECT_EQ(sleeping.open, 0U);
  EXPECT_EQ(cu_text(sleeping.apps[0].cu.sleeping), "18.000000000");  // 120 s x 1 GiB x 0.15
  EXPECT_EQ(sleeping.apps[0].cu.sum(), sleeping.apps[0].cu.sleeping);
  EXPECT_EQ(sleeping.apps[0].used.all_calls(), 0U);
  EXPECT_EQ(gib_seconds_text(sleeping.apps[0].used.held.byte_ms[0]), "60.000000000");

  const Prices dear = *parse_prices(
      "currency: EUR\nprices: [{cu: {sleeping_vcpu_second: 0.5, sleeping_gib_second: 0}, tiers: [{price: 1}]}]");
  EXPECT_EQ(amount_text(bill_of({held}, dear).amount), "60.000000");
  const Prices free_of_it =
      *parse_prices("currency: EUR\nprices: [{cu: {sleeping_gib_second: 0}, tiers: [{price: 1}]}]");
  const Bill nothing = bill_of({held, record(day, 1000)}, free_of_it, BillBy::kTrigger);
  EXPECT_EQ(nothing.apps[0].lines[0].label, "held");
  EXPECT_EQ(nothing.apps[0].lines[0].amount, 0U);
  EXPECT_EQ(amount_text(nothing.amount), "1.157500");
}

}  // namespace
}  // namespace ebb::meter
