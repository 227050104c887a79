#include "node/usage_feed.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "base/limits.h"
#include "base/limits_webhook.h"
#include "base/log.h"
#include "os/file.h"
#include "store/private_file.h"

namespace ebb::node {
namespace {

namespace json = boost::json;
using base::Result;
using meter::PlaceState;

constexpr std::uint64_t kPlaces = limits::kUsageSegmentRecords;

std::uint64_t segment_of(std::uint64_t sequence) { return sequence / kPlaces; }
std::uint32_t index_of(std::uint64_t sequence) { return static_cast<std::uint32_t>(sequence % kPlaces); }

// What stands at one place: nothing for a segment that has gone.
struct Place {
  PlaceState state = PlaceState::kNothing;
  bool for_good = true;
  model::UsageRecord record;
};

Result<Place> look_at(const meter::UsageLog& log, std::uint64_t sequence) {
  Place place;
  const auto sealed = log.visit_places(segment_of(sequence), index_of(sequence),
                                       [&](std::uint32_t, PlaceState state, const model::UsageRecord& record) {
                                         place.state = state;
                                         place.record = record;
                                         return false;
                                       });
  if (!sealed && sealed.error().code != base::Code::kNotFound && sealed.error().code != base::Code::kInternal)
    return sealed.error();
  place.for_good = !sealed || *sealed;
  return place;
}

std::vector<std::uint64_t> numbers_in(const json::object& object, std::string_view name) {
  std::vector<std::uint64_t> numbers;
  const json::value* list = object.if_contains(name);
  if (list == nullptr || !list->is_array()) return numbers;
  for (const json::value& one : list->get_array()) {
    boost::system::error_code failed;
    const auto number = one.to_number<std::uint64_t>(failed);
    if (!failed) numbers.push_back(number);
  }
  return numbers;
}

std::uint64_t number_in(const json::object& object, std::string_view name) {
  boost::system::error_code failed;
  const json::value* value = object.if_contains(name);
  return value == nullptr ? 0 : value->to_number<std::uint64_t>(failed);
}

}  // namespace

UsageFeed::UsageFeed(Options options, const meter::UsageLog& log)
    : options_(std::move(options)), log_(log), jitter_(std::random_device()()), receiver_(options_.receiver) {}

Result<std::unique_ptr<UsageFeed>> UsageFeed::open(Options options, const meter::UsageLog& log) {
  std::unique_ptr<UsageFeed> feed(new UsageFeed(std::move(options), log));
  EBB_CHECKED(feed->read_state());
  feed->thread_ = std::thread([raw = feed.get()] { raw->run(); });
  return feed;
}

UsageFeed::~UsageFeed() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void UsageFeed::set_receiver(WebhookReceiver receiver) {
  std::lock_guard lock(mutex_);
  receiver_ = std::move(receiver);
}

WebhookReceiver UsageFeed::receiver() {
  std::lock_guard lock(mutex_);
  return receiver_;
}

bool UsageFeed::is_told(const model::UsageRecord& record) const {
  return options_.organisation.empty() || options_.organisation_of(record.app) == options_.organisation;
}

Result<> UsageFeed::read_state() {
  if (::access(options_.path.c_str(), F_OK) != 0) return {};
  EBB_TRY(const std::string text, os::read_file(options_.path));
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  const json::object* object = failed ? nullptr : value.if_object();
  if (object == nullptr || number_in(*object, "batch") == 0) {
    return base::internal(options_.path +
                          " does not say which usage records were posted: repair it, or remove it "
                          "and all are posted again");
  }
  state_.batch = number_in(*object, "batch");
  state_.made = base::WallTime(std::chrono::nanoseconds(number_in(*object, "made_ns")));
  state_.sending = numbers_in(*object, "sending");
  state_.left = numbers_in(*object, "left");
  state_.next = number_in(*object, "next");
  return {};
}

Result<> UsageFeed::write_state() const {
  const json::object object = {{"batch", state_.batch},
                               {"made_ns", state_.made.time_since_epoch().count()},
                               {"sending", json::value_from(state_.sending)},
                               {"left", json::value_from(state_.left)},
                               {"next", state_.next}};
  return store::write_private_file(options_.path, json::serialize(object) + "\n");
}

// False when it is to end.
bool UsageFeed::wait(base::Duration pause) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, base::steady_now() + pause, [this] { return stopping_; });
  return !stopping_;
}

void UsageFeed::run() {
  unsigned attempts = 0;
  const auto failed = [&](const base::Error& error) {
    failures_.add();
    if (attempts == 0) {
      base::log(base::LogLevel::kWarning, "usage_not_delivered",
                {{"batch", state_.batch}, {"error", error.message}, {"effect", "it is sent again"}});
    }
    return wait(webhook_pause(attempts++, jitter_));
  };
  for (bool going = wait(base::Duration::zero()); going;) {
    const Result<bool> ready = state_.sending.empty() ? gather() : Result<bool>(true);
    if (!ready) {
      going = failed(ready.error());
      continue;
    }
    if (!*ready) {
      going = wait(limits::kUsageBatchPause);
      continue;
    }
    const Result<std::string> body = body_of();
    Result<> posted;
    if (body) {
      posted = post_webhook(receiver(), "usage.records." + std::to_string(state_.batch), *body);
    } else {
      posted = body.error();
    }
    if (!posted) {
      going = failed(posted.error());
      continue;
    }
    attempts = 0;
    records_.add(state_.sending.size());
    ++state_.batch;
    state_.sending.clear();
    // Not written: it goes out once more after a restart.
    if (const auto written = write_state(); !written)
      base::log(base::LogLevel::kError, "usage_feed_not_noted", {{"error", written.error().message}});
    going = wait(base::Duration::zero());
  }
}

Result<bool> UsageFeed::gather() {
  State next = state_;
  EBB_CHECKED(take_left(next));
  for (bool more = true; more && next.sending.size() < limits::kUsageBatchRecords;) {
    EBB_TRY(more, take_new(next));
  }
  const bool found = !next.sending.empty();
  if (found) next.made = base::wall_now();
  const bool moved = next.next != state_.next || next.left != state_.left;
  if (!moved && !found) return false;
  State before = std::exchange(state_, std::move(next));
  const auto written = write_state();
  if (!written) {
    state_ = std::move(before);
    return written.error();
  }
  return found;
}

// Of the calls that were running when the feed passed them, those that are over.
Result<> UsageFeed::take_left(State& next) const {
  std::vector<Sequence> still;
  for (const Sequence sequence : next.left) {
    if (next.sending.size() >= limits::kUsageBatchRecords) {
      still.push_back(sequence);
      continue;
    }
    EBB_TRY(const Place place, look_at(log_, sequence));
    if (place.state == PlaceState::kClosed) {
      if (is_told(place.record)) next.sending.push_back(sequence);
    } else if (place.state != PlaceState::kDamaged && !place.for_good) {
      still.push_back(sequence);
    }
  }
  next.left = std::move(still);
  return {};
}

// What has come since, of one segment. True when there may be more behind it.
Result<bool> UsageFeed::take_new(State& next) const {
  EBB_TRY(const std::vector<std::uint64_t> segments, log_.segments());
  const auto at = std::lower_bound(segments.begin(), segments.end(), segment_of(next.next));
  if (at == segments.end()) return false;
  const std::uint64_t segment = *at;
  if (segment != segment_of(next.next)) {
    if (next.next != 0 && index_of(next.next) != 0) {
      base::log(base::LogLevel::kError, "usage_feed_gap",
                {{"segment", segment_of(next.next)}, {"effect", "what was not posted of it is gone by retention"}});
    }
    next.next = segment * kPlaces;
  }
  std::vector<Sequence> nothing;  // until something behind it was given out
  bool full = false;
  const auto sealed = log_.visit_places(segment, index_of(next.next),
                                        [&](std::uint32_t index, PlaceState state, const model::UsageRecord& record) {
                                          const Sequence sequence = segment * kPlaces + index;
                                          if (state == PlaceState::kNothing) {
                                            nothing.push_back(sequence);
                                            return true;
                                          }
                                          full = next.sending.size() >= limits::kUsageBatchRecords ||
                                                 next.left.size() + nothing.size() >= limits::kUsageLeftRecords;
                                          if (full) return false;
                                          next.left.insert(next.left.end(), nothing.begin(), nothing.end());
                                          nothing.clear();
                                          const bool told = state != PlaceState::kDamaged && is_told(record);
                                          if (told && state == PlaceState::kClosed) next.sending.push_back(sequence);
                                          if (told && state == PlaceState::kOpen) next.left.push_back(sequence);
                                          next.next = sequence + 1;
                                          return true;
                                        });
  if (!sealed && sealed.error().code == base::Code::kNotFound) return true;  // its time was over, since it was listed
  const bool unreadable = !sealed && sealed.error().code == base::Code::kInternal;  // told at the start
  if (!sealed && !unreadable) return sealed.error();
  if (full) return false;
  const bool over = unreadable || *sealed || segment_of(next.next) != segment;
  if (!over || std::next(at) == segments.end()) return false;
  next.next = *std::next(at) * kPlaces;
  return true;
}

Result<std::string> UsageFeed::body_of() const {
  json::array records;
  for (const Sequence sequence : state_.sending) {
    EBB_TRY(const Place place, look_at(log_, sequence));
    if (place.state != PlaceState::kClosed) continue;  // gone by retention meanwhile
    json::object record = model::to_json(place.record);
    record["sequence"] = sequence;
    record["organisation"] =
        options_.organisation.empty() ? options_.organisation_of(place.record.app) : options_.organisation;
    records.push_back(std::move(record));
  }
  const json::object event = {{"type", "usage.records"},
                              {"timestamp", base::to_rfc3339(state_.made)},
                              {"data", {{"batch", state_.batch}, {"records", std::move(records)}}}};
  return json::serialize(event);
}

}  // namespace ebb::node
