// Goal: an account holds what the bill holds, is refused at its budget and not before, and opens with the month.
#include "meter/budget.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "meter/bill.h"

namespace ebb::meter {
namespace {

using namespace std::chrono_literals;

constexpr base::WallTime kNovember{std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 5h};
constexpr base::WallTime kDecember{std::chrono::sys_days{std::chrono::year{2026} / 12 / 1}};

// One second of one processor and one GiB: 1 + 0.15 + 0.0075 CU.
void charge_second(Budgets& budgets, Account& account, base::WallTime arrival = kNovember) {
  budgets.charge(account, arrival, model::Outcome::kOk, 1'000, 1'000, {1ull << 30});
}

TEST(Budget, WhatACallCosts) {
  const Weights weights;
  EXPECT_EQ(nano_cu_of(model::Outcome::kOk, 1'000, 1'000, {1ull << 30}, weights), 1'157'500'000u);
  EXPECT_EQ(nano_cu_of(model::Outcome::kOk, 1, 100, {128ull << 20}, weights), 100'000u + 18'750u + 7'500'000u);
  EXPECT_EQ(nano_cu_of(model::Outcome::kPlatformFault, 1'000, 1'000, {1ull << 30}, weights), 0u);
  EXPECT_GT(nano_cu_of(model::Outcome::kOk, UINT64_MAX, UINT32_MAX, {UINT64_MAX}, weights), 1ull << 60) << "no wrap";
}

TEST(Budget, IsWhatTheBillSays) {
  std::mt19937_64 random(5);
  UsageSum sum;
  const Prices prices;
  Budgets budgets(prices, kNovember);
  const auto account = budgets.account("a");
  budgets.set({.app = "a", .nano_cu = 1});
  constexpr std::uint64_t kCalls = 5'000;
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    model::UsageRecord record;
    record.app = "a";
    record.arrival = kNovember;
    record.cpu_millis = static_cast<std::uint32_t>(50 + random() % 64'000);
    record.memory_limit = {(16ull << 20) + random() % (64ull << 30)};
    record.end = model::UsageEnd{.outcome = static_cast<model::Outcome>(random() % model::kOutcomes),
                                 .billed_ms = random() % 900'000};
    ASSERT_TRUE(sum.add(record));
    budgets.charge(*account, record.arrival, record.end->outcome, record.end->billed_ms, record.cpu_millis,
                   record.memory_limit);
  }
  const auto bill = bill_for({2026, 11}, BillBy::kFunction, prices, sum);
  ASSERT_TRUE(bill);
  const Exact nano = bill->apps[0].cu.sum() * 1'000'000'000 / kCuAtoms;
  const std::uint64_t used = budgets.views()[0].used_nano_cu;
  EXPECT_LE(used, nano.convert_to<std::uint64_t>());
  EXPECT_GE(used + 2 * kCalls, nano.convert_to<std::uint64_t>()) << "less than a nano-CU for each part";
}

TEST(Budget, IsSpentWhenItIsReachedAndOpenWhenRaised) {
  Budgets budgets({}, kNovember);
  const auto account = budgets.account("a");
  charge_second(budgets, *account);
  EXPECT_FALSE(account->spent()) << "no budget";
  EXPECT_TRUE(budgets.views().empty());
  budgets.set({.app = "a", .nano_cu = 3'000'000'000});
  EXPECT_FALSE(account->spent());
  charge_second(budgets, *account);
  EXPECT_FALSE(account->spent());
  charge_second(budgets, *account);
  EXPECT_TRUE(account->spent());
  const base::Error refusal = budgets.refusal(*account, kNovember);
  EXPECT_EQ(refusal.code, base::Code::kResourceExhausted);
  EXPECT_NE(refusal.message.find("app a has used its budget of 3 CU for 2026-11"), std::string::npos)
      << refusal.message;
  EXPECT_NE(refusal.message.find("2026-12-01"), std::string::npos);
  EXPECT_EQ(refusal.retry_after, kDecember - kNovember);
  EXPECT_FALSE(budgets.account("b")->spent()) << "another app's";
  budgets.set({.app = "a", .nano_cu = 4'000'000'000});
  EXPECT_FALSE(account->spent());
  budgets.remove({.app = "a"});
  EXPECT_FALSE(account->spent());
  budgets.set({.app = "a", .nano_cu = 0});
  EXPECT_TRUE(account->spent()) << "closed";
}

TEST(Budget, BeginsAnewWithTheMonth) {
  Budgets budgets({}, kNovember);
  const auto account = budgets.account("a");
  budgets.begin_with("a", {2026, 11}, 0, 5'000'000'000);
  budgets.set({.app = "a", .nano_cu = 5'000'000'000});
  EXPECT_TRUE(account->spent());
  EXPECT_EQ(budgets.tick(kDecember - 1s).size(), 1u);
  EXPECT_TRUE(account->spent());
  EXPECT_TRUE(budgets.tick(kDecember).empty());
  EXPECT_FALSE(account->spent());
  charge_second(budgets, *account, kDecember - 1s);
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 0u) << "it arrived in November";
  charge_second(budgets, *account, kDecember);
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 1'157'500'000u);
  EXPECT_EQ(budgets.views()[0].month, (Month{2026, 12}));
}

// Whoever sets the clock forward and back finds each month as it was left: nothing is free, nothing counts twice.
TEST(Budget, EachMonthKeepsItsUseWhereverTheClockGoes) {
  Budgets budgets({}, kNovember);
  const auto account = budgets.account("a");
  budgets.begin_with("a", {2026, 11}, 0, 1'000'000'000);
  budgets.begin_with("a", {2026, 10}, 0, 3'000'000'000);
  budgets.belong("a", "acme");
  budgets.set({.app = "a", .nano_cu = 3'000'000'000});
  budgets.set({.nano_cu = 3'000'000'000, .organisation = "acme"});
  const auto used = [&] {
    EXPECT_EQ(budgets.views()[1].used_nano_cu, budgets.views()[0].used_nano_cu) << "the organisation's";
    return budgets.views()[0].used_nano_cu;
  };
  charge_second(budgets, *account, kDecember);  // the clock was set, and no tick has come since
  EXPECT_EQ(used(), 1'000'000'000u);
  budgets.tick(kDecember);
  EXPECT_EQ(used(), 1'157'500'000u);
  charge_second(budgets, *account, kNovember);  // it began before that
  EXPECT_TRUE(budgets.tick(kDecember).empty());
  EXPECT_EQ(used(), 1'157'500'000u);
  budgets.tick(kNovember);
  EXPECT_EQ(used(), 2'157'500'000u);
  charge_second(budgets, *account, kNovember);
  EXPECT_TRUE(account->spent());
  EXPECT_EQ(budgets.tick(kNovember).size(), 2u);
  budgets.tick(kDecember);
  EXPECT_FALSE(account->spent());
  EXPECT_TRUE(budgets.tick(kNovember).empty()) << "told already";
  EXPECT_TRUE(account->spent());
  EXPECT_EQ(used(), 3'315'000'000u);
  EXPECT_EQ(budgets.refusal(*account, kNovember).retry_after, kDecember - kNovember);
  EXPECT_EQ(budgets.tick(kNovember - 31 * 24h).size(), 2u) << "what it used before the start";
  EXPECT_EQ(used(), 3'000'000'000u);
  budgets.tick(base::WallTime{});
  EXPECT_EQ(used(), 0u);
}

TEST(Budget, TellsOnceOfEightyAndOfAHundredPercent) {
  Budgets budgets({}, kNovember);
  const auto account = budgets.account("a");
  budgets.set({.app = "a", .nano_cu = 4 * 1'157'500'000ull});
  for (int second = 0; second < 3; ++second) charge_second(budgets, *account);
  EXPECT_TRUE(budgets.tick(kNovember).empty()) << "75 %";
  budgets.set({.app = "a", .nano_cu = 3'600'000'000});
  auto alerts = budgets.tick(kNovember);
  ASSERT_EQ(alerts.size(), 1u);
  EXPECT_EQ(alerts[0].budget.app, "a");
  EXPECT_EQ(alerts[0].percent, 80u);
  EXPECT_TRUE(budgets.tick(kNovember).empty());
  charge_second(budgets, *account);
  alerts = budgets.tick(kNovember);
  ASSERT_EQ(alerts.size(), 1u);
  EXPECT_EQ(alerts[0].percent, 100u);
  EXPECT_TRUE(budgets.tick(kNovember).empty());
}

TEST(Budget, WeightsAreThoseOfTheDay) {
  Prices prices;
  prices.lists.push_back(
      {.from = day_of(kDecember), .weights = {.vcpu_second = 0, .gib_second = 0, .call = 1'000'000}});
  Budgets budgets(prices, kNovember);
  const auto account = budgets.account("a");
  budgets.set({.app = "a", .nano_cu = 1});
  charge_second(budgets, *account);
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 1'157'500'000u);
  budgets.tick(kDecember);
  charge_second(budgets, *account, kDecember);
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 1'000'000'000u);
}

TEST(Budget, ChargesFromManyThreadsAddUp) {
  Budgets budgets({}, kNovember);
  budgets.set({.app = "a", .nano_cu = 1});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto account = budgets.account("a");
      for (int call = 0; call < 1'000; ++call) charge_second(budgets, *account);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 4'000 * 1'157'500'000ull);
}

TEST(Budget, OfAnOrganisationCountsAllItsAppsAlsoMovedOnes) {
  Budgets budgets(Prices{}, kNovember);
  const auto a = budgets.account("a");
  const auto b = budgets.account("b");
  budgets.begin_with("a", {2026, 11}, 0, 1'000'000'000);
  budgets.set({.nano_cu = 3'000'000'000, .organisation = "acme"});
  budgets.belong("a", "acme");
  budgets.belong("b", "acme");
  const auto used = [&] { return budgets.views().at(0).used_nano_cu; };
  EXPECT_EQ(used(), 1'000'000'000u) << "what was used before it was known whose it is";
  charge_second(budgets, *b);
  EXPECT_EQ(used(), 2'157'500'000u);
  EXPECT_FALSE(a->spent() || b->spent());
  charge_second(budgets, *a);
  EXPECT_TRUE(a->spent() && b->spent());
  const base::Error refusal = budgets.refusal(*b, kNovember);
  EXPECT_NE(refusal.message.find("organisation acme has used its budget of 3 CU"), std::string::npos);
  EXPECT_NE(refusal.message.find("ebb budget set --org acme"), std::string::npos);
  const auto alerts = budgets.tick(kNovember);
  ASSERT_EQ(alerts.size(), 1u);
  EXPECT_EQ(alerts[0].budget.organisation, "acme");
  EXPECT_EQ(alerts[0].percent, 100u);
  budgets.belong("a", "other");
  EXPECT_EQ(used(), 1'157'500'000u);
  EXPECT_FALSE(a->spent() || b->spent());
  budgets.belong("a", "acme");
  EXPECT_TRUE(b->spent());
  budgets.remove({.organisation = "acme"});
  EXPECT_FALSE(a->spent() || b->spent());
}

// What scale.min kept counts as on the bill; what the platform held of itself does not.
TEST(Budget, InstancesThatAreKeptUseItToo) {
  Budgets budgets(Prices{}, kNovember);
  const auto account = budgets.account("a");
  budgets.belong("a", "acme");
  budgets.set({.app = "a", .nano_cu = 18'000'000'000});
  budgets.set({.nano_cu = 36'000'000'000, .organisation = "acme"});
  const model::HeldStart start{.begun = kNovember, .memory_limit = {1ull << 30}, .cpu_millis = 1000};
  budgets.charge_held(*account, start, {.for_ms = 60'000, .ms = {60'000, 0, 60'000, 60'000, 60'000}});
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 0u);
  budgets.charge_held(*account, start, {.for_ms = 60'000, .ms = {0, 120'000 - 1}});
  EXPECT_FALSE(account->spent());
  budgets.charge_held(*account, start, {.for_ms = 60'000, .ms = {0, 1}});
  EXPECT_TRUE(account->spent());
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 18'000'000'000u);
  EXPECT_EQ(budgets.views()[1].used_nano_cu, 18'000'000'000u);
  const auto before = kNovember - std::chrono::hours(24 * 40);
  budgets.charge_held(*account, {.begun = before, .memory_limit = {1ull << 30}}, {.ms = {0, 1000}});
  EXPECT_EQ(budgets.views()[0].used_nano_cu, 18'000'000'000u) << "another month's";
  EXPECT_EQ(sleeping_nano_cu_of(1'000, 1'000, {1ull << 30}, {.sleeping_vcpu_second = 500'000}), 650'000'000u);
}

// Two price lists in one month: what accounts cost is what the bill says, less than a nano for each of them.
TEST(Budget, InMoneyIsWhatTheBillSays) {
  const Prices prices = *parse_prices(R"(currency: EUR
prices:
  - free: 10
    tiers: [{up_to: 100, price: 0.333333333333}, {price: 0.123456789}]
  - from: 2026-11-24
    free: 20
    tiers: [{up_to: 200, price: 0.777777777777}, {price: 0.1}]
)");
  Budgets budgets(prices, kNovember);
  EXPECT_TRUE(budgets.has_prices());
  const auto account = budgets.account("a");
  budgets.belong("a", "acme");
  budgets.set({.app = "a", .nano_money = 1});
  budgets.set({.organisation = "acme", .nano_money = 1});
  UsageSum sum;
  std::mt19937_64 random(7);
  for (int i = 0; i < 400; ++i) {
    model::UsageRecord record{
        .arrival = i < 200 ? kNovember : kNovember + 24h, .app = "a", .memory_limit = {1ull << 30}, .cpu_millis = 1000};
    record.end = model::UsageEnd{.billed_ms = random() % 2'000};
    if (i == 200) {
      EXPECT_EQ(budgets.tick(record.arrival).size(), 2u) << "the app's and the organisation's alert";
    }
    ASSERT_TRUE(sum.add(record));
    budgets.charge(*account, record.arrival, record.end->outcome, record.end->billed_ms, 1000, {1ull << 30});
  }
  const std::uint64_t amount = bill_for({2026, 11}, BillBy::kFunction, prices, sum)->amount * 1000;
  const std::uint64_t used = budgets.views()[0].used_nano_money;
  EXPECT_NEAR(static_cast<double>(used), static_cast<double>(amount), 2'000) << "the bill is rounded to a millionth";
  EXPECT_EQ(budgets.views()[1].used_nano_money, used);
  EXPECT_TRUE(account->spent());
  EXPECT_NE(budgets.refusal(*account, kNovember).message.find("its budget of 0.000000001 EUR"), std::string::npos);
  budgets.set({.app = "a", .nano_money = 2 * used});
  budgets.set({.nano_cu = 1'000'000'000'000, .organisation = "acme"});
  EXPECT_FALSE(account->spent());
  (void)budgets.tick(kDecember);
  EXPECT_EQ(budgets.views()[0].used_nano_money, 0u);
}

TEST(Budget, WhatCuCostFromWhereTheMonthStands) {
  const PriceList list{.free_cu = 10,
                       .tiers = {Tier{.up_to = 100, .price = 500'000'000'000}, Tier{.price = 250'000'000'000}}};
  constexpr std::uint64_t kCu = 1'000'000'000;
  EXPECT_EQ(nano_money_of(list, 0, 10 * kCu), 0u);
  EXPECT_EQ(nano_money_of(list, 0, 11 * kCu), 500'000'000u);
  EXPECT_EQ(nano_money_of(list, 10 * kCu, 210 * kCu), 75'000'000'000u);
  EXPECT_EQ(nano_money_of(list, 210 * kCu, 214 * kCu), 1'000'000'000u);
  EXPECT_EQ(nano_money_of(PriceList{}, 0, 5 * kCu), 0u);
}

}  // namespace
}  // namespace ebb::meter
