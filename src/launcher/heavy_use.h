// Which apps use more than an equal share of the processors: pure, of readings of their processor time.
//
// 1. Use is a running average over kMemory, so that neither one long call nor one pause decides. 2. An app is heavy
// from 5/4 of an equal share of what all use together, and light again below 3/4 of it: those who
// use the same do not flap. One alone is measured as if there were another. 3. Nobody is heavy while all together use
// less than an eighth of the processors.
// Short work first, by what was used: feedback scheduling (Corbato, 1962), with two levels.
// Called by app_weights.cc.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/clock.h"

namespace ebb::launcher {

class HeavyUse {
 public:
  struct App {
    double cores = 0;  // in use, on average
    bool heavy = false;

   private:
    friend class HeavyUse;
    std::uint64_t cpu_ns = 0;
    base::SteadyTime at{};
    bool read = false;
    double counted = 0;  // of `cores`, in the sums
  };

  explicit HeavyUse(double cores) : cores_(cores) {}

  /// One reading of its processor time. True when it became heavy or light.
  bool look(App& app, std::uint64_t cpu_ns, base::SteadyTime now) {
    // Judged by what it and the others used before this reading, which all of them have had.
    const double equal = used_ / std::max(2, active_);
    const bool was = app.heavy;
    app.heavy = used_ > cores_ / 8 && app.cores > equal * (was ? 0.75 : 1.25);
    heavy_ += static_cast<int>(app.heavy) - static_cast<int>(was);
    const double passed_ns = std::chrono::duration<double, std::nano>(now - app.at).count();
    if (app.read && passed_ns > 0) {
      const double used = static_cast<double>(cpu_ns - std::min(cpu_ns, app.cpu_ns)) / passed_ns;
      const double kept = std::exp(-passed_ns / std::chrono::duration<double, std::nano>(kMemory).count());
      app.cores = app.cores * kept + used * (1 - kept);
    }
    app.cpu_ns = cpu_ns;
    app.at = now;
    app.read = true;
    count(app, app.cores);
    return app.heavy != was;
  }
  /// It is not there any more.
  void forget(App& app) {
    count(app, 0);
    heavy_ -= static_cast<int>(std::exchange(app.heavy, false));
  }

  /// Cores in use by all.
  double used() const { return used_; }
  /// An app is heavy while others use something too.
  bool one_floods() const { return heavy_ > 0 && active_ > 1; }

 private:
  static constexpr std::chrono::milliseconds kMemory{300};
  static constexpr double kActiveCores = 0.002;

  void count(App& app, double cores) {
    used_ += cores - app.counted;
    active_ += static_cast<int>(cores > kActiveCores) - static_cast<int>(app.counted > kActiveCores);
    app.counted = cores;
  }

  double cores_;
  double used_ = 0;
  int active_ = 0;
  int heavy_ = 0;  // apps
};

}  // namespace ebb::launcher
