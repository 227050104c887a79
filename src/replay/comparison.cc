#include "replay/comparison.h"

#include <algorithm>

namespace ebb::replay {
namespace {

double milliseconds(base::Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

/// What lies below an instance of each function: its zygote and the runtime zygote.
std::vector<double> mb_below(const Plan& plan, const Reading& reading) {
  std::vector<double> sizes;
  for (const PlannedFunction& function : plan.functions) {
    const auto runtime = reading.runtime_mb.find(function.app);
    const auto zygote = reading.zygote_mb.find({function.app, function.name});
    sizes.push_back((runtime == reading.runtime_mb.end() ? 0 : runtime->second) +
                    (zygote == reading.zygote_mb.end() ? 0 : zygote->second));
  }
  return sizes;
}

class Count {
 public:
  Count(const Plan& plan, const Measured& measured, Live& live)
      : plan_(plan), live_(live), below_(mb_below(plan, measured.reading)) {
    const auto buckets =
        static_cast<std::size_t>((plan.length.count() + plan.bucket.count() - 1) / plan.bucket.count());
    live_.totals.calls_by_minute.resize(buckets);
    live_.totals.used_by_minute.resize(buckets);
  }

  void add_call(const sim::PlannedCall& call, const CallOutcome& outcome, const Record* record) {
    ++live_.totals.arrived;
    ++live_.totals.calls_by_minute[bucket_of(call.at_ns)];
    live_.late.add(milliseconds(outcome.late));
    if (!outcome.ok) {
      ++live_.errors;
      return;
    }
    ++live_.totals.answered;
    if (record == nullptr || !record->closed) {
      ++live_.records_missing;
      return;
    }
    add_record(call, outcome, *record);
  }

 private:
  std::size_t bucket_of(std::int64_t at_ns) const {
    return std::min(static_cast<std::size_t>(at_ns / plan_.bucket.count()), live_.totals.calls_by_minute.size() - 1);
  }

  void add_record(const sim::PlannedCall& call, const CallOutcome& outcome, const Record& record) {
    ++live_.records;
    live_.cpu_seconds += record.cpu_ms / 1000;
    if (record.rung == "runtime" || record.rung == "boot") {
      ++live_.totals.from_boot;
    } else if (record.rung == "fork") {
      ++live_.totals.from_fork;
    } else if (record.rung == "spare") {
      ++live_.totals.from_spare;
    } else {
      ++live_.totals.from_idle;
    }
    live_.totals.added.add(record.queue_ms + record.start_ms + record.init_ms);
    live_.added_for_caller.add(std::max(0.0, milliseconds(outcome.latency) - record.handler_ms));
    const double mb = below_[call.function] + record.memory_peak_mb;
    // The handler ended when the answer came.
    const std::int64_t end = call.at_ns + outcome.latency.count();
    add_use(end - static_cast<std::int64_t>(record.handler_ms * 1e6), end, mb / 1024);
  }

  /// Inside the stretch, by bucket.
  void add_use(std::int64_t from, std::int64_t to, double gb) {
    const std::int64_t bucket = plan_.bucket.count();
    to = std::min(to, plan_.length.count());
    for (from = std::max<std::int64_t>(from, 0); from < to;) {
      const std::int64_t until = std::min(to, (from / bucket + 1) * bucket);
      const double seconds = static_cast<double>(until - from) / 1e9;
      live_.totals.used_gbs += gb * seconds;
      live_.totals.used_by_minute[bucket_of(from)] += gb * seconds / (static_cast<double>(bucket) / 1e9);
      from = until;
    }
  }

  const Plan& plan_;
  Live& live_;
  std::vector<double> below_;
};

}  // namespace

Live live_of(const Plan& plan, const Measured& measured) {
  Live live{.first_error = measured.first_error};
  std::unordered_map<std::string, const Record*> by_request;
  for (const Record& record : measured.records) by_request.emplace(record.request_id, &record);
  Count count(plan, measured, live);
  for (std::size_t i = 0; i < plan.calls.size(); ++i) {
    const CallOutcome& outcome = measured.outcomes[i];
    const auto found = outcome.has_id ? by_request.find(base::to_string(outcome.request)) : by_request.end();
    count.add_call(plan.calls[i], outcome, found == by_request.end() ? nullptr : found->second);
    if (found != by_request.end()) by_request.erase(found);
  }
  live.records_beyond = by_request.size();
  live.totals.held_gbs = measured.held_gb_seconds;
  live.totals.spare_gbs = measured.spare_gb_seconds;
  live.totals.held_by_minute = measured.held_gb_by_bucket;
  return live;
}

}  // namespace ebb::replay
