// When a function is called by itself: one of the `timers` of ebb.yaml. Each due time makes one asynchronous call.
//
// By cron, on the clocks of a zone, or every so often: then from the epoch on, so that it is due at the same times
// whenever the node was started. Pure values.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "base/result.h"

namespace ebb::model {

struct Timer {
  std::string cron;            // a model::Cron; "": by `every`
  std::string zone = "UTC";    // of `cron`: a model::TimeZone, whose clocks it is read by
  base::Duration every{};      // zero: by `cron`
  std::string event = "null";  // what the function is told of it: JSON
  std::string path;            // of a web server or application: where it gets its request; "": /
  bool operator==(const Timer&) const = default;
};

struct TimerViolation {
  std::string key;  // with its place: "[2].cron"
  std::string message;
};

/// The first rule that is broken, or nothing.
std::optional<TimerViolation> first_violation(const std::vector<Timer>& timers);

/// What people call it: "every 30s", "0 7 * * mon-fri", or "0 7 * * mon-fri Europe/Berlin".
std::string name_of(const Timer& timer);

/// The content type that a timer's call is kept with: its event is a timer_event.
inline constexpr std::string_view kTimerEventType = "application/vnd.ebb.timer+json";
/// {"source": "ebb.timer", "timer": its name, "due": RFC 3339 in UTC, "event": as written}, and "path" if it has one.
std::string timer_event(const Timer& timer, base::WallTime due);

/// The value as a Timer keeps it: reading it and writing it again changes nothing, so that what is kept equals what is
/// written in ebb.yaml the next time.
std::string kept_event(const boost::json::value& value);

boost::json::object to_json(const Timer& timer);
/// Errors: kInvalidArgument naming the key.
base::Result<std::vector<Timer>> timers_from_json(const boost::json::value& value);

}  // namespace ebb::model
