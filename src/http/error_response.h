// Errors as answers: one table (base/error.h) gives the status, one shape the JSON.
//
// {"error":{"code":"too_large","message":"...","request_id":"..."}}; a busy platform also sends Retry-After.
// Called by the server for what never reaches a handler, and by every handler.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace ebb::http {

/// The response of an error. `request_id` may be empty.
Response error_response(const base::Error& error, std::string_view request_id = {});
/// The same under another status, for refusals finer than the table (408, 414, 417, 501).
Response error_response(int status, const base::Error& error, std::string_view request_id = {});

/// The text as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

}  // namespace ebb::http
