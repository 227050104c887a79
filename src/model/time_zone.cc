#include "model/time_zone.h"

#include <date/tz.h>

#include <exception>

namespace ebb::model {

namespace {

constexpr std::string_view kUtc = "UTC";

}  // namespace

base::Result<TimeZone> TimeZone::named(std::string_view name) {
  if (name == kUtc) return TimeZone(nullptr);
  try {
    return TimeZone(date::locate_zone(std::string(name)));
  } catch (const std::exception&) {  // the library's only way to say it
  }
  try {
    date::locate_zone("Europe/London");
  } catch (const std::exception&) {
    return base::invalid_argument(
        "'" + std::string(name) +
        "' cannot be looked up: this machine has no time zone database; apt-get install tzdata, or write UTC");
  }
  return base::invalid_argument("'" + std::string(name) + "' is no time zone; write UTC or a name like Europe/Berlin");
}

LocalTime TimeZone::local(base::WallTime time) const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::chrono::seconds offset = zone_ == nullptr ? std::chrono::seconds(0) : zone_->get_info(seconds).offset;
  return std::chrono::floor<std::chrono::minutes>(seconds + offset);
}

TimeZone::Moments TimeZone::when(LocalTime time) const {
  if (zone_ == nullptr) return {.first = time, .second = time};
  const date::local_info info = zone_->get_info(date::local_time<std::chrono::minutes>(time.time_since_epoch()));
  if (info.result == date::local_info::nonexistent) {
    return {.first = info.first.end, .second = info.first.end, .skipped = true};
  }
  const base::WallTime first = time - info.first.offset;
  return {.first = first, .second = info.result == date::local_info::ambiguous ? time - info.second.offset : first};
}

}  // namespace ebb::model
