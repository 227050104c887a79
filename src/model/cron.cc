#include "model/cron.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ebb::model {

namespace {

using namespace std::chrono_literals;
using std::chrono::days;

constexpr days kHorizon(29 * 366);

struct Field {
  std::string_view name;
  unsigned min;
  unsigned max;
  std::span<const std::string_view> words = {};  // of min, min + 1, ...
};

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<Field, 5> kFields = {Field{"minute", 0, 59}, Field{"hour", 0, 23},
                                          Field{"day of the month", 1, 31}, Field{"month", 1, 12, kMonths},
                                          Field{"day of the week", 0, 7, kWeekdays}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kNicknames = {{{"@hourly", "0 * * * *"},
                                                                                      {"@daily", "0 0 * * *"},
                                                                                      {"@weekly", "0 0 * * 0"},
                                                                                      {"@monthly", "0 0 1 * *"},
                                                                                      {"@yearly", "0 0 1 1 *"}}};

base::Error wrong(const Field& field, std::string_view text) {
  std::string may = "from " + std::to_string(field.min) + " to " + std::to_string(field.max);
  if (!field.words.empty()) may += " or " + std::string(field.words.front()) + " to " + std::string(field.words.back());
  return base::invalid_argument("has '" + std::string(text) + "' for the " + std::string(field.name) +
                                ", which is *, a number " + may +
                                ", a range like 2-4, steps like */5, or a list of them");
}

std::optional<unsigned> number_in(std::string_view text) {
  unsigned number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<unsigned> value_in(std::string_view text, const Field& field) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto word = std::find(field.words.begin(), field.words.end(), lower);
  if (word != field.words.end()) return field.min + static_cast<unsigned>(word - field.words.begin());
  const std::optional<unsigned> number = number_in(text);
  if (!number || *number < field.min || *number > field.max) return std::nullopt;
  return number;
}

// One entry of a list: "*", "7", "mon-fri", each also with "/step".
bool add_entry(std::string_view text, const Field& field, std::uint64_t& values) {
  const std::size_t slash = text.find('/');
  const std::string_view range = text.substr(0, slash);
  const std::size_t dash = range.find('-');
  unsigned first = field.min;
  unsigned last = field.max;
  if (range != "*") {
    const auto from = value_in(range.substr(0, dash), field);
    if (!from) return false;
    first = last = *from;
    if (dash != std::string_view::npos) {
      const auto to = value_in(range.substr(dash + 1), field);
      if (!to || *to < first) return false;
      last = *to;
    }
  }
  unsigned step = 1;
  if (slash != std::string_view::npos) {
    const auto given = number_in(text.substr(slash + 1));
    if (!given || *given == 0 || *given > field.max) return false;
    if (range != "*" && dash == std::string_view::npos) return false;  // "5/15": crons differ in what that is
    step = *given;
  }
  for (unsigned value = first; value <= last; value += step) values |= std::uint64_t{1} << value;
  return true;
}

base::Result<std::uint64_t> values_of(std::string_view text, const Field& field) {
  std::uint64_t values = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (!add_entry(text.substr(begin, end - begin), field, values)) return wrong(field, text);
    begin = end + 1;
  }
  return values;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = text.find_first_not_of(' '); at != std::string_view::npos;
       at = text.find_first_not_of(' ', at)) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

base::Result<Cron> Cron::parse(std::string_view text) {
  Cron cron;
  cron.text_ = text;
  const auto nickname =
      std::find_if(kNicknames.begin(), kNicknames.end(), [&](const auto& one) { return one.first == text; });
  const std::vector<std::string_view> words = words_of(nickname == kNicknames.end() ? text : nickname->second);
  if (words.size() != kFields.size()) {
    return base::invalid_argument(
        "is '" + std::string(text) +
        "', which is not five fields: minute, hour, day of the month, month, day of the week, such as 0 8 * * mon-fri");
  }
  std::array<std::uint64_t, kFields.size()> values{};
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    EBB_TRY(values[i], values_of(words[i], kFields[i]));
  }
  cron.minutes_ = values[0];
  cron.hours_ = values[1];
  cron.days_ = values[2];
  cron.months_ = values[3];
  cron.weekdays_ = (values[4] & 0x7F) | (values[4] >> 7);  // 7 is Sunday too
  cron.any_day_ = words[2].front() == '*';
  cron.any_weekday_ = words[4].front() == '*';
  if (!cron.ever_comes()) return base::invalid_argument("is '" + std::string(text) + "', a day that no year has");
  return cron;
}

bool Cron::fits(std::chrono::year_month_day date) const {
  if (!months_[unsigned{date.month()}]) return false;
  const bool day = days_[unsigned{date.day()}];
  const bool weekday = weekdays_[std::chrono::weekday(std::chrono::sys_days(date)).c_encoding()];
  return any_day_ || any_weekday_ ? day && weekday : day || weekday;
}

// By a leap year; days of the week come in every month.
bool Cron::ever_comes() const {
  if (!any_day_ && !any_weekday_) return true;
  for (std::chrono::sys_days day = std::chrono::sys_days(std::chrono::year(2024) / 1 / 1);
       day < std::chrono::sys_days(std::chrono::year(2025) / 1 / 1); day += days(1)) {
    const std::chrono::year_month_day date(day);
    if (months_[unsigned{date.month()}] && days_[unsigned{date.day()}]) return true;
  }
  return false;
}

std::optional<base::WallTime> Cron::next_after(base::WallTime after, const TimeZone& zone) const {
  const LocalTime begin = zone.local(after) - 3h;  // clocks may have been set back since
  const auto first_day = std::chrono::floor<days>(begin);
  const bool every_hour = hours_.all();
  std::optional<base::WallTime> soonest;
  for (auto day = first_day; day < first_day + kHorizon; day += days(1)) {
    if (!fits(std::chrono::year_month_day(day))) continue;
    for (unsigned minute = 0; minute < 24 * 60; ++minute) {
      const LocalTime local = day + std::chrono::minutes(minute);
      if (!hours_[minute / 60] || !minutes_[minute % 60] || local < begin) continue;
      const TimeZone::Moments moments = zone.when(local);
      if (soonest && moments.first >= *soonest) return soonest;
      if (moments.skipped && every_hour) continue;
      if (moments.first > after) return moments.first;
      // Set back clocks show what is later on them again before it.
      if (every_hour && moments.second > after && !soonest) soonest = moments.second;
    }
  }
  return soonest;
}

}  // namespace ebb::model
