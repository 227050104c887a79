#include "meter/metrics.h"

#include <algorithm>
#include <cstdio>

#include "meter/prometheus_text.h"

namespace ebb::meter {
namespace {

// Seconds without a rounding that depends on the size: whole microseconds of a bound print exactly.
std::string seconds(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string label(std::string_view name, std::string_view value) {
  return std::string(name) + "=\"" + escape_label(value) + "\"";
}

void histogram(std::string& out, const std::string& name, const std::string& labels, const DurationHistogram& values) {
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < DurationHistogram::kBoundsUs.size(); ++i) {
    cumulative += values.in_bucket(i);
    const auto bound = seconds(static_cast<double>(DurationHistogram::kBoundsUs[i]) / 1e6);
    append_sample(out, name + "_bucket", labels + "," + label("le", bound), std::to_string(cumulative));
  }
  // The count is the sum of the buckets just read, so that the two agree while others observe.
  cumulative += values.in_bucket(DurationHistogram::kBoundsUs.size());
  append_sample(out, name + "_bucket", labels + "," + label("le", "+Inf"), std::to_string(cumulative));
  append_sample(out, name + "_sum", labels, seconds(static_cast<double>(values.sum_ns()) / 1e9));
  append_sample(out, name + "_count", labels, std::to_string(cumulative));
}

}  // namespace

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      default: out += c;
    }
  }
  return out;
}

void DurationHistogram::observe(base::Duration duration) {
  const std::int64_t ns = std::max<std::int64_t>(duration.count(), 0);
  // A bound belongs to its bucket: at most 0.25 ms is the first.
  const auto bucket =
      std::lower_bound(kBoundsUs.begin(), kBoundsUs.end(), ns,
                       [](std::int64_t bound_us, std::int64_t value) { return bound_us * 1000 < value; });
  buckets_[static_cast<std::size_t>(bucket - kBoundsUs.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(static_cast<std::uint64_t>(ns), std::memory_order_relaxed);
}

void HeldMemory::add(base::Bytes held, base::Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (ms > 0) kib_ms_.add((held.count >> 10) * static_cast<std::uint64_t>(ms));
}

std::shared_ptr<FunctionMetrics> Metrics::function(std::string_view app, std::string_view name) {
  base::MutexLock lock(mutex_);
  auto& metrics = functions_[FunctionName(app, name)];
  if (metrics == nullptr) metrics = std::make_shared<FunctionMetrics>();
  return metrics;
}

void Metrics::forget(std::string_view app, std::string_view name) {
  base::MutexLock lock(mutex_);
  functions_.erase(FunctionName(app, name));
}

std::shared_ptr<AppMetrics> Metrics::app(std::string_view app) {
  base::MutexLock lock(mutex_);
  auto& metrics = apps_[std::string(app)];
  if (metrics == nullptr) metrics = std::make_shared<AppMetrics>();
  return metrics;
}

void Metrics::forget(std::string_view app) {
  base::MutexLock lock(mutex_);
  const auto at = apps_.find(app);
  if (at != apps_.end()) apps_.erase(at);
}

std::string Metrics::render() const {
  std::map<FunctionName, std::shared_ptr<FunctionMetrics>> functions;
  std::map<std::string, std::shared_ptr<AppMetrics>, std::less<>> apps;
  {
    base::MutexLock lock(mutex_);
    functions = functions_;
    apps = apps_;
  }
  const auto labels_of = [](const FunctionName& name) {
    return label("app", name.first) + "," + label("function", name.second);
  };
  std::string out;
  append_head(out, "ebb_build_info", "gauge", "The running version of Ebb.");
  append_sample(out, "ebb_build_info", label("version", version_), "1");
  const auto gauge = [&](std::string_view name, std::string_view help, const Gauge& value) {
    append_head(out, name, "gauge", help);
    append_sample(out, name, "", std::to_string(value.value()));
  };
  gauge("ebb_instances", "Instances that run, idle ones and spares included.", node.instances);
  gauge("ebb_spares", "Instances started ahead that served nobody yet.", node.spares);
  gauge("ebb_zygotes", "Zygotes that can be forked.", node.zygotes);
  gauge("ebb_queue_depth", "Invocations waiting for an instance.", node.queue_depth);
  gauge("ebb_usage_records_open", "Usage records of running invocations.", node.usage_records_open);
  gauge("ebb_processors", "Processors of the machine.", node.processors);
  gauge("ebb_memory_budget_bytes", "Memory that all sandboxes together may use.", node.memory_budget_bytes);
  gauge("ebb_keep_alive_price", "GB-seconds held to spare one second of waiting; 0: held while there is memory.",
        node.keep_alive_price);
  gauge("ebb_spares_max", "Spares that the node keeps at most.", node.spares_max);
  gauge("ebb_answer_bytes", "Bytes of long answers held until their clients have taken them.", node.answer_bytes);
  gauge("ebb_request_bytes", "Bytes of long request bodies held until their calls have ended.", node.request_bytes);
  append_counter(out, "ebb_log_lines_dropped_total", "Lines printed by functions that could not be kept.",
                 node.log_lines_dropped.value());

  append_head(out, "ebb_invocations_total", "counter", "Invocations by how they ended.");
  for (const auto& [name, metrics] : functions) {
    for (std::size_t i = 0; i < model::kOutcomes; ++i) {
      const auto outcome = label("outcome", model::name_of(static_cast<model::Outcome>(i)));
      append_sample(out, "ebb_invocations_total", labels_of(name) + "," + outcome,
                    std::to_string(metrics->invocations[i].value()));
    }
  }
  append_head(out, "ebb_starts_total", "counter", "Leases by the rung of the cold-start ladder they came from.");
  for (const auto& [name, metrics] : functions) {
    for (std::size_t i = 0; i < model::kRungs; ++i) {
      const auto rung = label("rung", model::name_of(static_cast<model::Rung>(i)));
      append_sample(out, "ebb_starts_total", labels_of(name) + "," + rung, std::to_string(metrics->starts[i].value()));
    }
  }
  append_head(out, "ebb_invocation_cpu_seconds_total", "counter",
              "Processor time of invocations, as their usage records say.");
  for (const auto& [name, metrics] : functions)
    append_sample(out, "ebb_invocation_cpu_seconds_total", labels_of(name), seconds(metrics->cpu_of_calls.value()));
  append_head(out, "ebb_platform_cpu_seconds_total", "counter",
              "Processor time in sandboxes that is on no usage record.");
  for (const auto& [name, metrics] : apps) {
    const std::string labels = label("app", name) + ",";
    append_sample(out, "ebb_platform_cpu_seconds_total", labels + label("part", "runtime"),
                  seconds(metrics->cpu_of_runtimes.value()));
    append_sample(out, "ebb_platform_cpu_seconds_total", labels + label("part", "zygote"),
                  seconds(metrics->cpu_of_zygotes.value()));
  }
  for (const auto& [name, metrics] : functions)
    append_sample(out, "ebb_platform_cpu_seconds_total", labels_of(name) + "," + label("part", "instance"),
                  seconds(metrics->cpu_beside_calls.value()));
  append_head(out, "ebb_app_cpu_seconds_total", "counter",
              "Processor time of all sandboxes of an app, by the kernel's count.");
  for (const auto& [name, metrics] : apps)
    append_sample(out, "ebb_app_cpu_seconds_total", label("app", name), seconds(metrics->cpu.value()));
  append_head(out, "ebb_memory_held_byte_seconds_total", "counter", "Memory held over time, beyond the tier below.");
  for (const auto& [name, metrics] : apps)
    append_sample(out, "ebb_memory_held_byte_seconds_total", label("app", name) + "," + label("tier", "runtime"),
                  seconds(metrics->held_by_runtimes.value()));
  for (const auto& [name, metrics] : functions) {
    const std::string labels = labels_of(name) + ",";
    append_sample(out, "ebb_memory_held_byte_seconds_total", labels + label("tier", "zygote"),
                  seconds(metrics->held_by_zygotes.value()));
    append_sample(out, "ebb_memory_held_byte_seconds_total", labels + label("tier", "instance"),
                  seconds(metrics->held_by_instances.value()));
    append_sample(out, "ebb_memory_held_byte_seconds_total", labels + label("tier", "spare"),
                  seconds(metrics->held_by_spares.value()));
  }
  append_head(out, "ebb_runtime_memory_bytes", "gauge", "Memory of the runtime zygotes that an app's functions share.");
  for (const auto& [name, metrics] : apps)
    append_sample(out, "ebb_runtime_memory_bytes", label("app", name), std::to_string(metrics->runtime_bytes.value()));
  append_head(out, "ebb_zygote_memory_bytes", "gauge", "Memory of the newest zygote, beyond its runtime zygote.");
  for (const auto& [name, metrics] : functions)
    append_sample(out, "ebb_zygote_memory_bytes", labels_of(name), std::to_string(metrics->zygote_bytes.value()));
  append_head(out, "ebb_handler_seconds", "histogram", "Wall time in the handler.");
  for (const auto& [name, metrics] : functions)
    histogram(out, "ebb_handler_seconds", labels_of(name), metrics->handler);
  append_head(out, "ebb_queue_seconds", "histogram", "Time an invocation waited for its lease.");
  for (const auto& [name, metrics] : functions) histogram(out, "ebb_queue_seconds", labels_of(name), metrics->queue);
  return out;
}

}  // namespace ebb::meter
