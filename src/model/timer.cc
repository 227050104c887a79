#include "model/timer.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/limits_timers.h"
#include "model/cron.h"
#include "model/json_fields.h"

namespace ebb::model {

namespace json = boost::json;

namespace {

constexpr int kRounds = 16;  // until a number stays: two or three

bool is_path(std::string_view text) {
  return text.size() <= limits::kTimerPathBytes && text.front() == '/' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

std::optional<TimerViolation> violation_of(const Timer& timer) {
  const bool by_interval = timer.every != base::Duration::zero();
  if (timer.cron.empty() && !by_interval) return TimerViolation{"", "has neither cron nor every: write one of them"};
  if (!timer.cron.empty() && by_interval) return TimerViolation{".every", "stands beside cron: write one of them"};
  if (by_interval && (timer.every < limits::kTimerEveryMin || timer.every > limits::kTimerEveryMax)) {
    return TimerViolation{".every", "is " + base::to_string(timer.every) + ", it must be from " +
                                        base::to_string(limits::kTimerEveryMin) + " to " +
                                        base::to_string(limits::kTimerEveryMax)};
  }
  if (by_interval && timer.zone != "UTC") return TimerViolation{".zone", "is for cron, with every leave it out"};
  if (timer.cron.size() > limits::kTimerCronBytes) {
    return TimerViolation{".cron", "has " + std::to_string(timer.cron.size()) + " bytes, the limit is " +
                                       std::to_string(limits::kTimerCronBytes) + ": write several timers"};
  }
  if (!by_interval) {
    if (const auto cron = Cron::parse(timer.cron); !cron) return TimerViolation{".cron", cron.error().message};
  }
  if (timer.event.size() > limits::kTimerEventBytes) {
    return TimerViolation{".event", "has " + std::to_string(timer.event.size()) + " bytes as JSON, the limit is " +
                                        std::to_string(limits::kTimerEventBytes) +
                                        ": put it into the package, or store it elsewhere and write where it is"};
  }
  if (!timer.path.empty() && !is_path(timer.path)) {
    return TimerViolation{".path", "must begin with / and have no blanks, at most " +
                                       std::to_string(limits::kTimerPathBytes) + " bytes of ASCII: /jobs/report"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<TimerViolation> first_violation(const std::vector<Timer>& timers) {
  if (timers.size() > limits::kTimersPerFunction) {
    return TimerViolation{"", "has " + std::to_string(timers.size()) + " timers, the limit is " +
                                  std::to_string(limits::kTimersPerFunction) + ": make another function"};
  }
  for (std::size_t at = 0; at < timers.size(); ++at) {
    const std::string place = "[" + std::to_string(at) + "]";
    if (auto wrong = violation_of(timers[at])) return TimerViolation{place + wrong->key, std::move(wrong->message)};
    if (std::find(timers.begin(), timers.begin() + static_cast<std::ptrdiff_t>(at), timers[at]) !=
        timers.begin() + static_cast<std::ptrdiff_t>(at)) {
      return TimerViolation{place, "is written twice, keep one of them"};
    }
  }
  return std::nullopt;
}

std::string name_of(const Timer& timer) {
  if (timer.cron.empty()) return "every " + base::to_string(timer.every);
  return timer.zone == "UTC" ? timer.cron : timer.cron + " " + timer.zone;
}

std::string timer_event(const Timer& timer, base::WallTime due) {
  json::object event{{"source", "ebb.timer"},
                     {"timer", name_of(timer)},
                     {"due", base::to_rfc3339(due)},
                     {"event", json::parse(timer.event)}};
  if (!timer.path.empty()) event.emplace("path", timer.path);
  return json::serialize(event);
}

// The library reads some numbers with many digits as a neighbour of what it wrote.
std::string kept_event(const json::value& value) {
  std::string text = json::serialize(value);
  for (int round = 0; round < kRounds; ++round) {
    std::string again = json::serialize(json::parse(text));
    if (again == text) break;
    text = std::move(again);
  }
  return text;
}

json::object to_json(const Timer& timer) {
  json::object object;
  if (timer.cron.empty()) {
    object.emplace("every", base::to_string(timer.every));
  } else {
    object.emplace("cron", timer.cron);
    object.emplace("zone", timer.zone);
  }
  object.emplace("event", json::parse(timer.event));
  if (!timer.path.empty()) object.emplace("path", timer.path);
  return object;
}

base::Result<std::vector<Timer>> timers_from_json(const json::value& value) {
  if (!value.is_array()) return field_error("timers", "must be a list");
  std::vector<Timer> timers;
  for (const json::value& item : value.get_array()) {
    if (!item.is_object()) return field_error("timers", "must hold objects");
    const json::object& object = item.get_object();
    Timer& timer = timers.emplace_back();
    EBB_CHECKED(read_field(object, "cron", timer.cron));
    EBB_CHECKED(read_field(object, "zone", timer.zone));
    EBB_CHECKED(read_field(object, "every", timer.every));
    EBB_CHECKED(read_field(object, "path", timer.path));
    if (const json::value* event = object.if_contains("event")) timer.event = json::serialize(*event);
  }
  return timers;
}

}  // namespace ebb::model
