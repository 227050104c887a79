#include "meter/budget.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "meter/usage_sum.h"

namespace ebb::meter {
namespace {

constexpr unsigned kAlertPercents[] = {80, 100};
constexpr unsigned kCuPlaces = 9;
constexpr unsigned kMoneyPlaces = 9;
constexpr Wide kNano = 1'000'000'000;
constexpr Wide kPicoNano = 1'000'000'000'000;  // nano-CU x pico, in nano of the currency

std::uint64_t saturated(Wide value) {
  return static_cast<std::uint64_t>(std::min<Wide>(value, std::numeric_limits<std::uint64_t>::max() / 4));
}

}  // namespace

// Weights are micro-CU for a second: with milliseconds, thousandths of a processor and bytes the units come out so.
std::uint64_t nano_cu_of(model::Outcome outcome, std::uint64_t billed_ms, std::uint32_t cpu_millis,
                         base::Bytes memory_limit, const Weights& weights) {
  if (!model::is_billed(outcome)) return 0;
  const Wide cpu = Wide{billed_ms} * cpu_millis * weights.vcpu_second / 1'000;
  const Wide memory = (Wide{billed_ms} * memory_limit.count * weights.gib_second) >> 30;
  return saturated(cpu + memory + Wide{weights.call} * 1'000);
}

std::uint64_t sleeping_nano_cu_of(std::uint64_t provisioned_ms, std::uint32_t cpu_millis, base::Bytes memory_limit,
                                  const Weights& weights) {
  const Wide cpu = Wide{provisioned_ms} * cpu_millis * weights.sleeping_vcpu_second / 1'000;
  const Wide memory = (Wide{provisioned_ms} * memory_limit.count * weights.sleeping_gib_second) >> 30;
  return saturated(cpu + memory);
}

std::uint64_t nano_money_of(const PriceList& list, std::uint64_t from_nano_cu, std::uint64_t to_nano_cu) {
  // nano-CU x pico of the currency per CU.
  Wide sum = 0;
  Wide at = std::max<Wide>(from_nano_cu, Wide{list.free_cu} * kNano);
  for (const Tier& tier : list.tiers) {
    const Wide end = tier.up_to ? std::min<Wide>(to_nano_cu, (Wide{list.free_cu} + *tier.up_to) * kNano) : to_nano_cu;
    if (end <= at) continue;
    sum += (end - at) * tier.price;
    at = end;
  }
  return saturated(sum / kPicoNano);
}

Budgets::Budgets(Prices prices, base::WallTime now) : prices_(std::move(prices)), month_(month_of(now)) {}

std::shared_ptr<Account> Budgets::account_of(const model::Holder& holder) {
  std::shared_ptr<Account>& account = holder.app.empty() ? organisations_[holder.organisation] : apps_[holder.app];
  if (!account) account = std::make_shared<Account>(holder);
  return account;
}

std::vector<Account*> Budgets::all() {
  std::vector<Account*> accounts;
  for (const Accounts* some : {&apps_, &organisations_}) {
    for (const auto& [name, account] : *some) accounts.push_back(account.get());
  }
  return accounts;
}

BudgetView Budgets::view_of(const Account& account) {
  return {.app = account.holder_.app,
          .month = month_,
          .limit_nano_cu = account.limit_nano_cu_,
          .used_nano_cu = account.used_nano_cu_,
          .organisation = account.holder_.organisation,
          .limit_nano_money = account.limit_nano_money_,
          .used_nano_money = account.used_nano_money_,
          .currency = prices_.currency};
}

std::shared_ptr<Account> Budgets::account(const std::string& app) {
  base::MutexLock lock(mutex_);
  return account_of({.app = app});
}

void Budgets::begin_with(const std::string& app, Month month, std::size_t list, std::uint64_t used_nano_cu) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<Account> account = account_of({.app = app});
  account->months_[month].nano_cu[list] += used_nano_cu;
  if (month == month_) add_up(*account);
}

void Budgets::set(const model::Budget& budget) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<Account> account = account_of(budget.holder());
  account->limit_nano_cu_ = budget.nano_cu;
  account->limit_nano_money_ = budget.nano_money;
  account->months_[month_].told_percent = 0;
}

void Budgets::remove(const model::Holder& holder) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<Account> account = account_of(holder);
  account->limit_nano_cu_ = Account::kNone;
  account->limit_nano_money_ = Account::kNone;
}

void Budgets::belong(const std::string& app, const std::string& organisation) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<Account> of_app = account_of({.app = app});
  Account* const to = account_of({.organisation = organisation}).get();
  Account* const from = of_app->organisation_;
  if (from == to) return;
  if (from != nullptr) {
    from->used_nano_cu_ -= of_app->used_nano_cu_;
    from->used_nano_money_ -= of_app->used_nano_money_;
  }
  to->used_nano_cu_ += of_app->used_nano_cu_;
  to->used_nano_money_ += of_app->used_nano_money_;
  of_app->organisation_ = to;
}

std::vector<BudgetView> Budgets::views() {
  base::MutexLock lock(mutex_);
  std::vector<BudgetView> views;
  for (const Account* account : all()) {
    if (account->limit_nano_cu_ != Account::kNone || account->limit_nano_money_ != Account::kNone)
      views.push_back(view_of(*account));
  }
  return views;
}

void Budgets::charge(Account& account, base::WallTime arrival, model::Outcome outcome, std::uint64_t billed_ms,
                     std::uint32_t cpu_millis, base::Bytes memory_limit) {
  const std::uint64_t nano_cu = nano_cu_of(outcome, billed_ms, cpu_millis, memory_limit, weights_at(arrival));
  base::MutexLock lock(mutex_);
  add(account, arrival, nano_cu);
}

void Budgets::charge_held(Account& account, const model::HeldStart& start, const model::HeldUse& use) {
  const std::uint64_t provisioned_ms = use.ms[static_cast<std::size_t>(model::HeldTier::kProvisioned)];
  const std::uint64_t nano_cu =
      sleeping_nano_cu_of(provisioned_ms, start.cpu_millis, start.memory_limit, weights_at(start.begun));
  base::MutexLock lock(mutex_);
  add(account, start.begun, nano_cu);
}

const Weights& Budgets::weights_at(base::WallTime time) const {
  return prices_.lists[prices_.list_on(day_of(time))].weights;
}

// A clock that is set back or forward brings records of other months: they wait there until it comes to them.
void Budgets::add(Account& account, base::WallTime time, std::uint64_t nano_cu) {
  const Month month = month_of(time);
  account.months_[month].nano_cu[prices_.list_on(day_of(time))] += nano_cu;
  if (month == month_) add_up(account);
}

// Poured in the order of the lists, each going on where the one before ended: as on the bill.
void Budgets::add_up(Account& account) {
  std::uint64_t used = 0;
  std::uint64_t cost = 0;
  if (const auto at = account.months_.find(month_); at != account.months_.end()) {
    for (const auto& [list, nano_cu] : at->second.nano_cu) {
      cost += nano_money_of(prices_.lists[list], used, used + nano_cu);
      used += nano_cu;
    }
  }
  const std::uint64_t used_before = account.used_nano_cu_.exchange(used);
  const std::uint64_t cost_before = account.used_nano_money_.exchange(cost);
  if (Account* const organisation = account.organisation_) {
    organisation->used_nano_cu_ += used - used_before;
    organisation->used_nano_money_ += cost - cost_before;
  }
}

std::vector<BudgetAlert> Budgets::tick(base::WallTime now) {
  base::MutexLock lock(mutex_);
  std::vector<BudgetAlert> alerts;
  if (const Month month = month_of(now); month != month_) {
    month_ = month;
    for (const auto& [name, account] : apps_) add_up(*account);
  }
  for (Account* account : all()) {
    unsigned passed = 0;
    for (const auto& [limit, used] : {std::pair(account->limit_nano_cu_.load(), account->used_nano_cu_.load()),
                                      std::pair(account->limit_nano_money_.load(), account->used_nano_money_.load())}) {
      for (const unsigned percent : kAlertPercents) {
        if (limit != Account::kNone && Wide{used} * 100 >= Wide{limit} * percent) passed = std::max(passed, percent);
      }
    }
    if (passed == 0) continue;
    unsigned& told = account->months_[month_].told_percent;
    if (passed > told) alerts.push_back({.percent = passed, .budget = view_of(*account)});
    told = std::max(passed, told);
  }
  return alerts;
}

base::Error Budgets::refusal(const Account& account, base::WallTime now) {
  base::MutexLock lock(mutex_);
  const auto left = std::chrono::ceil<std::chrono::seconds>(month_.end() - now);
  const Account* const organisation = account.organisation_;
  const Account& spent = account.own_spent() || organisation == nullptr ? account : *organisation;
  const bool of_cu = spent.used_nano_cu_ >= spent.limit_nano_cu_;
  const std::string what = of_cu ? decimal_text(spent.limit_nano_cu_, kCuPlaces) + " CU"
                                 : decimal_text(spent.limit_nano_money_, kMoneyPlaces) + " " + prices_.currency;
  return base::Error{.code = base::Code::kResourceExhausted,
                     .message = spent.holder_.text() + " has used its budget of " + what + " for " + to_string(month_) +
                                ": it is open again on " + day_text(month_.end_day()) +
                                " (UTC), or when an administrator raises it with ebb budget set " +
                                spent.holder_.argument(),
                     .retry_after = std::max(left, std::chrono::seconds(1))};
}

}  // namespace ebb::meter
