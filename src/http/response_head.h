// The head of a response as bytes: what the handler gave, and what only the server knows (Date, framing, Connection).
//
// 1. Headers that frame the message are the server's: a handler's Content-Length or Connection never goes out.
// 2. One pass into a string that the connection reuses: no allocation when warm.
// Called by the server's connections.
#pragma once

#include <string>
#include <string_view>

#include "http/message.h"

namespace ebb::http {

/// What the connection decided about the response.
struct ResponseForm {
  bool keep_alive = true;
  bool chunked = false;
  bool sized = true;      // send Content-Length; false for a stream of unknown length, 204 and 304
  unsigned version = 11;  // of the request
};

/// True when the response has a status that a final answer can have and headers that cannot break out of theirs.
bool is_sendable(const Response& response);

/// Appends the whole head with its empty line.
void append_response_head(std::string& out, const Response& response, const ResponseForm& form);

/// Now as an HTTP date, "Sun, 06 Nov 1994 08:49:37 GMT"; computed once a second and thread.
std::string_view http_date();

}  // namespace ebb::http
