#include "tune/advice.h"

#include <algorithm>

namespace ebb::tune {
namespace {

constexpr double kAsFast = 1.02;
constexpr double kLeast = 1e-9;  // nothing is divided by zero

/// The position with the least score among those that may be advised.
template <typename Score>
std::size_t least(const std::vector<Measured>& all, const std::vector<std::size_t>& fit, Score score) {
  return *std::min_element(fit.begin(), fit.end(),
                           [&](std::size_t a, std::size_t b) { return score(all[a]) < score(all[b]); });
}

}  // namespace

std::optional<Advice> advise(const std::vector<Measured>& all, Aim aim) {
  std::vector<std::size_t> fit;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!all[i].samples.empty() && all[i].failed() == 0) fit.push_back(i);
  }
  if (fit.empty()) return std::nullopt;
  const auto cost = [](const Measured& one) { return std::max(kLeast, one.cu_per_call()); };
  const auto time = [](const Measured& one) { return std::max(kLeast, one.handler_ms(0.5)); };
  const double least_time = time(all[least(all, fit, time)]);
  std::vector<std::size_t> fast;
  std::copy_if(fit.begin(), fit.end(), std::back_inserter(fast),
               [&](std::size_t i) { return time(all[i]) <= kAsFast * least_time; });
  Advice advice{.cheapest = least(all, fit, cost), .fastest = least(all, fast, cost)};
  const double least_cost = cost(all[advice.cheapest]);
  switch (aim) {
    case Aim::kCost: advice.chosen = advice.cheapest; break;
    case Aim::kSpeed: advice.chosen = advice.fastest; break;
    case Aim::kBalance:
      advice.chosen =
          least(all, fit, [&](const Measured& one) { return cost(one) / least_cost + time(one) / least_time; });
      break;
  }
  return advice;
}

}  // namespace ebb::tune
