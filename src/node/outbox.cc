#include "node/outbox.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "base/limits_webhook.h"
#include "base/log.h"
#include "os/file.h"
#include "store/private_file.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

// The first line is the time, in nanoseconds since the epoch; the rest the body.
std::string file_of(const OutboxEvent& event) {
  return std::to_string(event.made.time_since_epoch().count()) + "\n" + event.body;
}

std::optional<OutboxEvent> event_of(std::string id, const std::string& text) {
  std::int64_t made = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (failed != std::errc() || end == text.data() + text.size() || *end != '\n') return {};
  return OutboxEvent{.id = std::move(id),
                     .body = std::string(end + 1, text.data() + text.size()),
                     .made = base::WallTime(std::chrono::nanoseconds(made))};
}

}  // namespace

base::Result<std::unique_ptr<Outbox>> Outbox::open(Options options) {
  std::unique_ptr<Outbox> outbox(new Outbox(std::move(options)));
  EBB_CHECKED(outbox->read_directory());
  outbox->thread_ = std::thread([raw = outbox.get()] { raw->run(); });
  return outbox;
}

Outbox::Outbox(Options options)
    : directory_(std::move(options.directory)),
      jitter_(std::random_device()()),
      receiver_(std::move(options.receiver)) {}

Outbox::~Outbox() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string Outbox::path_of(const std::string& id, const char* ending) const { return directory_ + "/" + id + ending; }

base::Result<> Outbox::read_directory() {
  std::error_code failed;
  fs::create_directory(directory_, failed);
  if (failed) return base::os_error("make " + directory_, failed.value());
  const auto forgotten = fs::file_time_type::clock::now() - limits::kWebhookSentKept;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_, failed)) {
    const fs::path& path = entry.path();
    std::error_code gone;
    if (path.extension() == ".sent" && entry.last_write_time(gone) < forgotten) fs::remove(path, gone);
    if (path.extension() != ".event") continue;
    const auto text = os::read_file(path.string());
    auto event = text ? event_of(path.stem().string(), *text) : std::nullopt;
    if (!event) {
      base::log(base::LogLevel::kError, "webhook_event_unreadable",
                {{"file", path.string()}, {"effect", "it is left where it is and not sent"}});
      continue;
    }
    waiting_[event->id].event = *event;
  }
  if (failed) return base::os_error("read " + directory_, failed.value());
  pending_.set(static_cast<std::int64_t>(waiting_.size()));
  return {};
}

void Outbox::put(OutboxEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (fresh_.size() >= limits::kWebhookEvents) {
      dropped_.add();
      return;
    }
    fresh_.push_back(std::move(event));
  }
  changed_.notify_all();
}

void Outbox::set_receiver(WebhookReceiver receiver) {
  std::lock_guard lock(mutex_);
  receiver_ = std::move(receiver);
}

void Outbox::run() {
  for (;;) {
    std::vector<OutboxEvent> fresh = next_events();
    for (OutboxEvent& event : fresh) keep(std::move(event));
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    deliver_due();
    pending_.set(static_cast<std::int64_t>(waiting_.size()));
  }
}

// Waits until there is something to do.
std::vector<OutboxEvent> Outbox::next_events() {
  base::SteadyTime due = base::steady_now() + limits::kWebhookBackoffMax;
  for (const auto& [id, waiting] : waiting_) due = std::min(due, waiting.due);
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, due, [this] { return stopping_ || !fresh_.empty(); });
  return std::exchange(fresh_, {});
}

void Outbox::keep(OutboxEvent event) {
  if (waiting_.contains(event.id) || ::access(path_of(event.id, ".sent").c_str(), F_OK) == 0) return;
  const auto drop = [&](std::string_view why) {
    dropped_.add();
    base::log(base::LogLevel::kError, "webhook_event_dropped", {{"id", event.id}, {"why", why}});
  };
  if (waiting_.size() >= limits::kWebhookEvents) return drop("too many events wait");
  // A full disk: sent all the same, though a kill before that loses it.
  const auto stored = store::write_private_file(path_of(event.id, ".event"), file_of(event));
  if (!stored) {
    base::log(base::LogLevel::kError, "webhook_event_not_stored",
              {{"id", event.id}, {"error", stored.error().message}, {"effect", "it is sent, a kill can lose it"}});
  }
  std::string id = event.id;
  waiting_.emplace(std::move(id), Waiting{.event = std::move(event), .due = base::steady_now()});
}

void Outbox::deliver_due() {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    const bool done = at->second.due <= base::steady_now() && deliver(at->second);
    at = done ? waiting_.erase(at) : std::next(at);
  }
}

// True when it is through: taken, or given up.
bool Outbox::deliver(Waiting& waiting) {
  const OutboxEvent& event = waiting.event;
  WebhookReceiver receiver;
  {
    std::lock_guard lock(mutex_);
    receiver = receiver_;
  }
  const base::Result<> posted = post_webhook(receiver, event.id, event.body);
  const bool taken = posted.has_value();
  const std::string why = taken ? std::string() : posted.error().message;
  const bool tried = waiting.attempts + 1 >= limits::kWebhookAttempts;
  const bool given_up = !taken && tried && base::wall_now() - event.made > limits::kWebhookAge;
  if (taken) {
    delivered_.add();
    base::log(base::LogLevel::kInfo, "webhook_delivered", {{"id", event.id}, {"attempts", waiting.attempts + 1}});
  } else if (given_up) {
    dropped_.add();
    base::log(base::LogLevel::kError, "webhook_given_up", {{"id", event.id}, {"error", why}});
  }
  if (taken || given_up) {
    // The first write makes the name for events that could not be stored.
    if (::rename(path_of(event.id, ".event").c_str(), path_of(event.id, ".sent").c_str()) != 0) {
      (void)store::write_private_file(path_of(event.id, ".sent"), "");
    }
    return true;
  }
  if (waiting.attempts == 0) {
    base::log(base::LogLevel::kWarning, "webhook_not_delivered",
              {{"id", event.id}, {"error", why}, {"effect", "it is sent again"}});
  }
  waiting.due = base::steady_now() + webhook_pause(waiting.attempts++, jitter_);
  return false;
}

}  // namespace ebb::node
