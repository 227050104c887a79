#include "node/receivers.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/limits_webhook.h"
#include "base/log.h"
#include "http/client.h"
#include "http/webhook_signature.h"
#include "meter/prometheus_text.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

// No app has such a name: a sealed secret of the one never opens as the other's.
store::SecretName sealed_name(const std::string& organisation, std::uint64_t version) {
  return {.app = "organisation." + organisation, .name = "webhook", .version = version};
}

base::Result<> check(const model::Webhook& webhook) {
  if (webhook.url.size() > limits::kWebhookUrlBytes) {
    return base::invalid_argument("the webhook's URL has more than " + std::to_string(limits::kWebhookUrlBytes) +
                                  " bytes");
  }
  const auto url = http::check_url(webhook.url);
  if (!url) return base::invalid_argument("the webhook's URL: " + url.error().message);
  return {};
}

}  // namespace

std::string Receivers::folder_of(const std::string& organisation) const {
  return config_.data_dir + (organisation.empty() ? "" : "/webhooks/" + organisation);
}

base::Result<WebhookReceiver> Receivers::receiver_of(const store::StoredWebhook& stored) const {
  const store::SecretName name = sealed_name(stored.webhook.organisation, stored.version);
  EBB_TRY(const std::string text, secrets_.box().unseal(name, stored.sealed));
  EBB_TRY(std::string secret, http::parse_webhook_secret(text));
  return WebhookReceiver{.url = stored.webhook.url, .secret = std::move(secret)};
}

base::Result<> Receivers::open() {
  base::MutexLock changing(changing_);
  EBB_TRY(const std::optional<WebhookReceiver> operators, operators_receiver(config_));
  if (operators) EBB_CHECKED(begin("", *operators, config_.webhook_usage));
  EBB_TRY(const std::vector<store::StoredWebhook> stored, metadata_.webhooks());
  for (const store::StoredWebhook& one : stored) {
    EBB_TRY(const WebhookReceiver receiver, receiver_of(one));
    EBB_CHECKED(begin(one.webhook.organisation, receiver, one.webhook.usage));
  }
  return {};
}

// Makes what is missing and changes what is there.
base::Result<> Receivers::begin(const std::string& organisation, const WebhookReceiver& receiver, bool usage) {
  const std::string folder = folder_of(organisation);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return base::os_error("make " + folder, failed.value());
  Receiver now;
  {
    base::MutexLock lock(mutex_);
    if (const auto at = receivers_.find(organisation); at != receivers_.end()) now = at->second;
  }
  if (now.outbox) {
    now.outbox->set_receiver(receiver);
  } else {
    EBB_TRY(now.outbox, Outbox::open({.directory = folder + "/outbox", .receiver = receiver}));
  }
  if (now.feed) now.feed->set_receiver(receiver);
  if (usage && !now.feed) {
    const auto organisation_of = [this](const std::string& app) { return organisations_.of(app); };
    EBB_TRY(now.feed, UsageFeed::open({.path = folder + "/usage-feed.json",
                                       .receiver = receiver,
                                       .organisation = organisation,
                                       .organisation_of = organisation_of},
                                      usage_));
  }
  std::shared_ptr<UsageFeed> ended;  // where the lock is free: it may wait
  if (!usage) ended = std::exchange(now.feed, nullptr);
  base::MutexLock lock(mutex_);
  receivers_[organisation] = std::move(now);
  return {};
}

void Receivers::put(const OutboxEvent& event, const std::string& organisation) {
  base::MutexLock lock(mutex_);
  for (const std::string& whose : {std::string(), organisation}) {
    const auto at = receivers_.find(whose);
    if (at != receivers_.end()) at->second.outbox->put(event);
    if (organisation.empty()) return;
  }
}

base::Result<std::string> Receivers::set(const model::Webhook& webhook, bool fresh_secret) {
  EBB_CHECKED(check(webhook));
  base::MutexLock changing(changing_);
  EBB_TRY(const std::vector<store::StoredWebhook> stored, metadata_.webhooks());
  const auto before = std::find_if(stored.begin(), stored.end(), [&](const store::StoredWebhook& one) {
    return one.webhook.organisation == webhook.organisation;
  });
  store::StoredWebhook next{.webhook = webhook};
  std::string shown;
  if (before != stored.end() && !fresh_secret) {
    next.version = before->version;
    next.sealed = before->sealed;
  } else {
    next.version = before == stored.end() ? 1 : before->version + 1;
    EBB_TRY(shown, http::new_webhook_secret());
    EBB_TRY(next.sealed, secrets_.box().seal(sealed_name(webhook.organisation, next.version), shown));
  }
  EBB_TRY(const WebhookReceiver receiver, receiver_of(next));
  EBB_CHECKED(metadata_.put_webhook(next));
  auto begun = begin(webhook.organisation, receiver, webhook.usage);
  // A full disk, say. Its secret was never shown.
  if (!begun && before == stored.end()) EBB_CHECKED(metadata_.remove_webhook(webhook.organisation));
  if (!begun) return begun.error();
  return shown;
}

base::Result<> Receivers::remove(const std::string& organisation) {
  base::MutexLock changing(changing_);
  EBB_CHECKED(metadata_.remove_webhook(organisation));
  end(organisation);
  return {};
}

void Receivers::forget(const std::string& organisation) {
  base::MutexLock changing(changing_);
  end(organisation);
}

void Receivers::end(const std::string& organisation) {
  Receiver ended;
  {
    base::MutexLock lock(mutex_);
    const auto at = receivers_.find(organisation);
    if (at == receivers_.end()) return;
    ended = std::move(at->second);
    receivers_.erase(at);
  }
  ended = {};  // waits for their threads
  std::error_code failed;
  fs::remove_all(folder_of(organisation), failed);
  if (failed) {
    base::log(base::LogLevel::kError, "webhook_files_left",
              {{"folder", folder_of(organisation)}, {"error", failed.message()}});
  }
}

base::Result<std::vector<model::Webhook>> Receivers::list() {
  EBB_TRY(const std::vector<store::StoredWebhook> stored, metadata_.webhooks());
  std::vector<model::Webhook> webhooks;
  for (const store::StoredWebhook& one : stored) webhooks.push_back(one.webhook);
  return webhooks;
}

std::string Receivers::metrics_text() const {
  base::MutexLock lock(mutex_);
  std::string out;
  // One family after the other, each with a sample for every receiver that has it.
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const auto& value_of) EBB_REQUIRES(mutex_) {
    bool any = false;
    for (const auto& [organisation, receiver] : receivers_) {
      const std::optional<std::string> value = value_of(receiver);
      if (!value) continue;
      if (!std::exchange(any, true)) meter::append_head(out, name, type, help);
      meter::append_sample(out, name, organisation.empty() ? "" : "organisation=\"" + organisation + "\"", *value);
    }
  };
  using Value = std::optional<std::string>;
  const auto of_outbox = [](auto Outbox::Counts::* count) {
    return [count](const Receiver& one) -> Value { return std::to_string(one.outbox->counts().*count); };
  };
  const auto of_feed = [](auto UsageFeed::Counts::* count) {
    return [count](const Receiver& one) -> Value {
      return one.feed ? Value(std::to_string(one.feed->counts().*count)) : std::nullopt;
    };
  };
  family("ebb_webhooks_pending", "gauge", "Events that wait for the webhook's receiver.",
         of_outbox(&Outbox::Counts::pending));
  family("ebb_webhooks_delivered_total", "counter", "Events that the receiver has taken.",
         of_outbox(&Outbox::Counts::delivered));
  family("ebb_webhooks_dropped_total", "counter", "Events given up, or for which there was no room.",
         of_outbox(&Outbox::Counts::dropped));
  family("ebb_usage_feed_records_total", "counter", "Usage records that the webhook's receiver has taken.",
         of_feed(&UsageFeed::Counts::records));
  family("ebb_usage_feed_failures_total", "counter", "Attempts to post usage records that failed.",
         of_feed(&UsageFeed::Counts::failures));
  return out;
}

}  // namespace ebb::node
