// One delivery of a webhook: signed, to one URL, and how long to wait before the next attempt. Called by the outbox and
// the feed of usage records, each on a thread of its own.
#pragma once

#include <optional>
#include <random>
#include <string>

#include "base/duration.h"
#include "base/result.h"
#include "model/config.h"

namespace ebb::node {

struct WebhookReceiver {
  std::string url;
  std::string secret;  // the bytes
};

/// The one of the configuration; nothing where there is no webhook_url. Blocking: reads webhook_secret_file.
/// Errors: kInvalidArgument, kNotFound, naming the key.
base::Result<std::optional<WebhookReceiver>> operators_receiver(const model::Config& config);

/// Posts a JSON body. Blocking, at most limits::kWebhookTimeout. Errors: whatever keeps it from being answered 2xx.
base::Result<> post_webhook(const WebhookReceiver& receiver, const std::string& id, const std::string& body);

/// After that many attempts before this one: doubles from limits::kWebhookBackoffMin, less up to half by chance.
base::Duration webhook_pause(unsigned attempts, std::minstd_rand& jitter);

}  // namespace ebb::node
