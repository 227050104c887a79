// Budgets: the CU that an app, or all apps of an organisation, may use in a calendar month (UTC), and the money that it
// may cost. When one of the two is used up its calls are refused until the next month or a larger budget; what is under
// way ends as it would.
//
// 1. Every app has an account, budget or not: what its closed records of this month cost, by the weights in effect of
// the price file as it was at the start, which is what is on its bill but for less than a nano-CU each. 2. The account
// begins, at a start, with the bill of the month so far: neither a restart nor a kill makes anything free. 3. A call is
// refused once the account has reached the budget, so it is exceeded by what was under way at that moment, and by no
// more. 4. A budget belongs to a name: an app that is removed and deployed again has the same one.
// 5. An organisation's account is the sum of those of its apps, also after one was moved. 6. Money is an app's CU
// poured into the free quota and the tiers of the price lists in effect, as on its bill, rounded down. Charged by the
// node when a record is closed, asked when a call comes and when it gets an instance. Threads: any. Cost: one atomic
// load to ask, a short lock to charge; no disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "meter/month.h"
#include "meter/price_list.h"
#include "model/budget.h"
#include "model/usage.h"

namespace ebb::meter {

/// What an invocation costs, in nano-CU.
std::uint64_t nano_cu_of(model::Outcome outcome, std::uint64_t billed_ms, std::uint32_t cpu_millis,
                         base::Bytes memory_limit, const Weights& weights);

/// The same of instances that `scale.min` kept for so long, together.
std::uint64_t sleeping_nano_cu_of(std::uint64_t provisioned_ms, std::uint32_t cpu_millis, base::Bytes memory_limit,
                                  const Weights& weights);

/// What an app's CU from so many to so many of a month cost by a price list, in nano of the currency, rounded down.
std::uint64_t nano_money_of(const PriceList& list, std::uint64_t from_nano_cu, std::uint64_t to_nano_cu);

class Account {
 public:
  explicit Account(model::Holder holder) : holder_(std::move(holder)) {}

  /// Its own budget, or that of the organisation.
  bool spent() const {
    const Account* const organisation = organisation_.load();
    return own_spent() || (organisation != nullptr && organisation->own_spent());
  }

 private:
  friend class Budgets;
  bool own_spent() const {
    return used_nano_cu_.load() >= limit_nano_cu_.load() || used_nano_money_.load() >= limit_nano_money_.load();
  }

  static constexpr std::uint64_t kNone = model::Budget::kAny;

  struct MonthUse {
    std::map<std::size_t, std::uint64_t> nano_cu;  // of an app: by the price list that it came under
    unsigned told_percent = 0;
  };

  // Of the present month.
  std::atomic<std::uint64_t> used_nano_cu_{0};
  std::atomic<std::uint64_t> limit_nano_cu_{kNone};
  std::atomic<std::uint64_t> used_nano_money_{0};
  std::atomic<std::uint64_t> limit_nano_money_{kNone};
  std::map<Month, MonthUse> months_;  // guarded by the mutex of Budgets
  const model::Holder holder_;
  std::atomic<Account*> organisation_{nullptr};  // of an app: kept by Budgets as long as this
};

/// A budget as it is shown.
struct BudgetView {
  std::string app;  // "": of an organisation
  Month month;
  std::uint64_t limit_nano_cu = 0;
  std::uint64_t used_nano_cu = 0;
  std::string organisation{};
  std::uint64_t limit_nano_money = model::Budget::kAny;
  std::uint64_t used_nano_money = 0;
  std::string currency{};  // "" without prices
};

/// The account has passed so many percent of the budget, for the first time in this month.
struct BudgetAlert {
  unsigned percent = 0;  // 80 or 100
  BudgetView budget;
};

class Budgets {
 public:
  Budgets(Prices prices, base::WallTime now);

  /// The app's account, made if there is none; it stays valid.
  std::shared_ptr<Account> account(const std::string& app);
  /// Before calls are served: what the app has used in a month, this one or another, under one of the price lists.
  void begin_with(const std::string& app, Month month, std::size_t list, std::uint64_t used_nano_cu);
  /// Whether there are prices that a budget in money can be counted by.
  bool has_prices() const { return !prices_.currency.empty(); }

  void set(const model::Budget& budget);
  void remove(const model::Holder& holder);
  /// What the app uses, and has used in this month, counts for that organisation.
  void belong(const std::string& app, const std::string& organisation);
  /// Those of apps that have one, by name, then those of organisations.
  std::vector<BudgetView> views();

  /// A record was closed. It counts for the month of its arrival.
  void charge(Account& account, base::WallTime arrival, model::Outcome outcome, std::uint64_t billed_ms,
              std::uint32_t cpu_millis, base::Bytes memory_limit);
  /// A record of what was held was written. As charge.
  void charge_held(Account& account, const model::HeldStart& start, const model::HeldUse& use);
  /// Turns to the month of `now`, whichever the last one was. Gives what has been passed since the last time.
  std::vector<BudgetAlert> tick(base::WallTime now);
  /// 429, until the next month.
  base::Error refusal(const Account& account, base::WallTime now);

 private:
  using Accounts = std::map<std::string, std::shared_ptr<Account>>;
  const Weights& weights_at(base::WallTime time) const;
  void add(Account& account, base::WallTime time, std::uint64_t nano_cu) EBB_REQUIRES(mutex_);
  void add_up(Account& account) EBB_REQUIRES(mutex_);
  std::shared_ptr<Account> account_of(const model::Holder& holder) EBB_REQUIRES(mutex_);
  std::vector<Account*> all() EBB_REQUIRES(mutex_);
  BudgetView view_of(const Account& account) EBB_REQUIRES(mutex_);

  base::Mutex mutex_;
  const Prices prices_;  // of the start
  Month month_ EBB_GUARDED_BY(mutex_);
  Accounts apps_ EBB_GUARDED_BY(mutex_);
  Accounts organisations_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::meter
