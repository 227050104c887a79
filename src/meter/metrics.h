// Counters, gauges and histograms, and their rendering as Prometheus text. Metrics are declared in structs, updated
// with relaxed atomics from any thread, and read only when somebody scrapes.
//
// Names are part of the interface: ebb_<noun>_<unit>, listed in docs/reference/metrics.md.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/mutex.h"
#include "model/usage.h"

namespace ebb::meter {

/// Only goes up.
class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  void set(std::uint64_t count) { value_.store(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Goes up and down.
class Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t count) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// Durations, counted by upper bound from 0.25 ms to 60 s.
class DurationHistogram {
 public:
  static constexpr std::array<std::int64_t, 17> kBoundsUs = {
      250,     500,     1'000,     2'500,     5'000,     10'000,     25'000,     50'000,    100'000,
      250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};

  /// A negative duration counts as 0. Cost: two relaxed additions.
  void observe(base::Duration duration);

  std::uint64_t in_bucket(std::size_t bucket) const { return buckets_[bucket].load(std::memory_order_relaxed); }
  std::uint64_t sum_ns() const { return sum_ns_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<std::uint64_t>, kBoundsUs.size() + 1> buckets_{};  // not cumulative; the last is +Inf
  std::atomic<std::uint64_t> sum_ns_{0};
};

/// Memory that was held, over time: the integral of bytes by seconds. Kept in KiB-milliseconds, which 64 bits hold for
/// centuries of a terabyte.
class HeldMemory {
 public:
  /// `held` was there for `duration`; a negative one counts as 0.
  void add(base::Bytes held, base::Duration duration);
  /// Byte-seconds.
  double value() const { return static_cast<double>(kib_ms_.value()) * 1024 / 1000; }

 private:
  Counter kib_ms_;
};

/// Processor time that was used.
class UsedCpu {
 public:
  /// A negative one counts as 0.
  void add(base::Duration used) { ns_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(0, used.count()))); }
  /// All of it so far, where somebody else keeps count.
  void set(base::Duration used) { ns_.set(static_cast<std::uint64_t>(std::max<std::int64_t>(0, used.count()))); }
  /// Seconds.
  double value() const { return static_cast<double>(ns_.value()) / 1e9; }

 private:
  Counter ns_;
};

/// Of one function, all versions together.
struct FunctionMetrics {
  std::array<Counter, model::kOutcomes> invocations;  // by outcome
  std::array<Counter, model::kRungs> starts;          // by rung
  DurationHistogram handler;
  DurationHistogram queue;
  HeldMemory held_by_zygotes;    // beyond the runtime zygote they are forked from
  HeldMemory held_by_instances;  // beyond their zygote; idle, busy and starting ones
  HeldMemory held_by_spares;     // likewise
  UsedCpu cpu_of_calls;          // as their records have it
  UsedCpu cpu_beside_calls;      // of instances, while no call was in them
  Gauge zygote_bytes;            // of the newest zygote, there or not

  Counter& invocations_with(model::Outcome outcome) { return invocations[static_cast<std::size_t>(outcome)]; }
  Counter& starts_from(model::Rung rung) { return starts[static_cast<std::size_t>(rung)]; }
};

/// Of one app: what its functions share.
struct AppMetrics {
  UsedCpu cpu;  // of everything in its sandboxes, as the kernel counts it
  UsedCpu cpu_of_runtimes;
  UsedCpu cpu_of_zygotes;
  HeldMemory held_by_runtimes;
  Gauge runtime_bytes;  // of those that are there
};

/// Of the node.
struct NodeMetrics {
  Gauge instances;
  Gauge spares;
  Gauge zygotes;
  Gauge queue_depth;
  Gauge usage_records_open;
  Gauge processors;
  Gauge memory_budget_bytes;
  Gauge keep_alive_price;
  Gauge spares_max;
  Gauge answer_bytes;
  Gauge request_bytes;
  Counter log_lines_dropped;
};

/// All metrics of a daemon. Threads: any.
class Metrics {
 public:
  explicit Metrics(std::string version) : version_(std::move(version)) {}

  NodeMetrics node;

  /// The metrics of a function, made when first asked for. Keep the pointer: the look-up takes a lock.
  std::shared_ptr<FunctionMetrics> function(std::string_view app, std::string_view name);
  /// Stops rendering a function that was removed.
  void forget(std::string_view app, std::string_view name);
  /// The same for an app.
  std::shared_ptr<AppMetrics> app(std::string_view app);
  void forget(std::string_view app);

  /// Prometheus text exposition format 0.0.4.
  std::string render() const;

 private:
  using FunctionName = std::pair<std::string, std::string>;

  const std::string version_;
  mutable base::Mutex mutex_;
  std::map<FunctionName, std::shared_ptr<FunctionMetrics>> functions_ EBB_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<AppMetrics>, std::less<>> apps_ EBB_GUARDED_BY(mutex_);
};

/// A label's value between its quotes: backslash, quote and newline escaped.
std::string escape_label(std::string_view value);

}  // namespace ebb::meter
