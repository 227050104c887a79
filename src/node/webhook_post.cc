#include "node/webhook_post.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/limits_webhook.h"
#include "http/client.h"
#include "http/webhook_signature.h"
#include "os/file.h"

namespace ebb::node {

base::Result<std::optional<WebhookReceiver>> operators_receiver(const model::Config& config) {
  if (config.webhook_url.empty()) return std::optional<WebhookReceiver>();
  if (const auto url = http::check_url(config.webhook_url); !url) {
    return base::invalid_argument("webhook_url: " + url.error().message);
  }
  const auto text = os::read_file(config.webhook_secret_file);
  if (!text) {
    return base::not_found("webhook_secret_file " + config.webhook_secret_file +
                           " cannot be read: " + text.error().message);
  }
  auto secret = http::parse_webhook_secret(std::string_view(*text).substr(0, text->find_first_of("\r\n")));
  if (!secret) {
    return base::invalid_argument("the first line of webhook_secret_file " + config.webhook_secret_file + " " +
                                  secret.error().message);
  }
  return std::optional<WebhookReceiver>({.url = config.webhook_url, .secret = std::move(*secret)});
}

base::Result<> post_webhook(const WebhookReceiver& receiver, const std::string& id, const std::string& body) {
  const std::int64_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(base::wall_now().time_since_epoch()).count();
  http::ClientRequest request{.method = "POST", .url = receiver.url, .body = body};
  request.headers.add("Content-Type", "application/json");
  request.headers.add("webhook-id", id);
  request.headers.add("webhook-timestamp", std::to_string(seconds));
  request.headers.add("webhook-signature", http::webhook_signature(receiver.secret, id, seconds, body));
  request.body_bytes_max = limits::kWebhookAnswerBytes;
  const auto answer = http::fetch(std::move(request), limits::kWebhookTimeout);
  if (!answer) return answer.error();
  if (answer->status >= 200 && answer->status < 300) return {};
  return base::unavailable("it answered " + std::to_string(answer->status));
}

base::Duration webhook_pause(unsigned attempts, std::minstd_rand& jitter) {
  const base::Duration pause = std::min<base::Duration>(
      limits::kWebhookBackoffMin * (std::int64_t{1} << std::min(attempts, 16U)), limits::kWebhookBackoffMax);
  const std::int64_t half = pause.count() / 2;
  return base::Duration(half + std::uniform_int_distribution<std::int64_t>(0, half)(jitter));
}

}  // namespace ebb::node
