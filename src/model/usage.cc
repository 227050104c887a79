#include "model/usage.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/check.h"

namespace ebb::model {
namespace {

constexpr std::array<std::string_view, kRungs> kRungNames = {"idle", "frozen", "spare", "fork", "runtime", "boot"};
constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {
    "ok", "function_error", "crashed", "out_of_memory", "timed_out", "cancelled", "refused", "platform_fault"};

constexpr std::array<std::string_view, kTriggers> kTriggerNames = {"unknown", "http",  "direct",
                                                                   "held",    "async", "timer"};
constexpr std::array<std::string_view, kHeldTiers> kTierNames = {"zygote", "provisioned", "idle", "frozen", "active"};

template <typename Enum, std::size_t N>
std::optional<Enum> named(const std::array<std::string_view, N>& names, std::string_view name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return std::nullopt;
  return static_cast<Enum>(at - names.begin());
}

}  // namespace

std::string_view name_of(Rung rung) {
  EBB_CHECK(static_cast<std::size_t>(rung) < kRungNames.size());
  return kRungNames[static_cast<std::size_t>(rung)];
}

std::optional<Rung> rung_named(std::string_view name) { return named<Rung>(kRungNames, name); }

std::string_view name_of(Outcome outcome) {
  EBB_CHECK(static_cast<std::size_t>(outcome) < kOutcomeNames.size());
  return kOutcomeNames[static_cast<std::size_t>(outcome)];
}

std::optional<Outcome> outcome_named(std::string_view name) { return named<Outcome>(kOutcomeNames, name); }

bool is_billed(Outcome outcome) { return outcome != Outcome::kRefused && outcome != Outcome::kPlatformFault; }

const char* billing_reason(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk: return "the handler answered";
    case Outcome::kFunctionError: return "the handler ran and failed";
    case Outcome::kCrashed: return "the handler ran until its process ended";
    case Outcome::kOutOfMemory: return "the handler ran into the function's own memory limit";
    case Outcome::kTimedOut: return "the handler ran until its timeout";
    case Outcome::kCancelled: return "the handler ran until the caller went away";
    case Outcome::kRefused: return "it was never run";
    case Outcome::kPlatformFault: return "the platform failed, not the function";
  }
  return "";
}

std::string_view name_of(Trigger trigger) {
  EBB_CHECK(static_cast<std::size_t>(trigger) < kTriggerNames.size());
  return kTriggerNames[static_cast<std::size_t>(trigger)];
}

std::optional<Trigger> trigger_named(std::string_view name) { return named<Trigger>(kTriggerNames, name); }

std::string_view name_of(HeldTier tier) {
  EBB_CHECK(static_cast<std::size_t>(tier) < kTierNames.size());
  return kTierNames[static_cast<std::size_t>(tier)];
}

std::string cu_text(std::uint64_t cu_micro) {
  const std::string fraction = std::to_string(cu_micro % 1'000'000);
  return std::to_string(cu_micro / 1'000'000) + "." + std::string(6 - fraction.size(), '0') + fraction;
}

namespace {

// Sums of byte-milliseconds are decimals in strings: a number of JSON holds 53 bits.
boost::json::object held_json(const UsageRecord& record) {
  boost::json::object ms;
  boost::json::object byte_ms;
  for (std::size_t i = 0; i < kHeldTiers; ++i) {
    ms[kTierNames[i]] = record.held->ms[i];
    byte_ms[kTierNames[i]] = std::to_string(record.held->byte_ms[i]);
  }
  boost::json::object object{
      {"arrival", base::to_rfc3339(record.arrival)},
      {"app", record.app},
      {"function", record.function},
      {"version", record.version_number},
      {"trigger", std::string(name_of(record.trigger))},
      {"memory_limit_bytes", record.memory_limit.count},
      {"cpu_millis", record.cpu_millis},
      {"state", "closed"},
      {"held_for_ms", record.held->for_ms},
  };
  object["held_ms"] = std::move(ms);
  object["held_byte_ms"] = std::move(byte_ms);
  return object;
}

}  // namespace

boost::json::object to_json(const UsageRecord& record) {
  if (record.held) return held_json(record);
  boost::json::object object{
      {"request_id", base::to_string(record.invocation)},
      {"arrival", base::to_rfc3339(record.arrival)},
      {"app", record.app},
      {"function", record.function},
      {"version", record.version_number},
      {"instance", base::raw(record.instance)},
      {"rung", std::string(name_of(record.rung))},
      {"trigger", std::string(name_of(record.trigger))},
      {"alias", record.alias},
      {"attempt", record.attempt},
      {"memory_limit_bytes", record.memory_limit.count},
      {"cpu_millis", record.cpu_millis},
      {"state", record.end ? "closed" : "open"},
  };
  if (!record.end) return object;
  const UsageEnd& end = *record.end;
  object["outcome"] = std::string(name_of(end.outcome));
  object["http_status"] = end.http_status;
  object["queue_ms"] = base::milliseconds(end.queue);
  object["start_ms"] = base::milliseconds(end.start);
  object["init_ms"] = base::milliseconds(end.init);
  object["handler_ms"] = base::milliseconds(end.handler);
  object["total_ms"] = base::milliseconds(end.total);
  object["billed_ms"] = end.billed_ms;
  object["billed"] = is_billed(end.outcome);
  object["billed_because"] = billing_reason(end.outcome);
  object["memory_peak_bytes"] = end.memory_peak.count;
  object["cpu_ms"] = base::milliseconds(end.cpu);
  object["bytes_in"] = end.bytes_in.count;
  object["bytes_out"] = end.bytes_out.count;
  object["cu"] = cu_text(end.cu_micro);
  return object;
}

}  // namespace ebb::model
