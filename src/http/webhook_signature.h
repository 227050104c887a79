// The signature of a webhook, so that its receiver knows who sent it and when: HMAC-SHA256 over id, time and body.
// Source: Standard Webhooks 1.0.0, https://www.standardwebhooks.com. Used by what posts webhooks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::http {

/// "whsec_" and base64 of 24 to 64 bytes gives these bytes. Errors: kInvalidArgument, which does not show the text.
base::Result<std::string> parse_webhook_secret(std::string_view text);

/// A new one, as text. Errors: kInternal.
base::Result<std::string> new_webhook_secret();

/// The value of the header webhook-signature: "v1,BASE64". `seconds`: since the epoch, as webhook-timestamp says.
std::string webhook_signature(std::string_view secret, std::string_view id, std::int64_t seconds,
                              std::string_view body);

}  // namespace ebb::http
