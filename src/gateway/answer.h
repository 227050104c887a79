// From a reply of the node to the HTTP response a client sees, function URL and direct call alike: the function's own
// status, headers and body, or the error that took their place, and what Ebb adds to both: X-Ebb-Request-Id,
// X-Ebb-Version and Server-Timing (of a stream: until its head). Headers of those names never come from a function: the
// node takes them out.
#pragma once

#include <string>

#include "base/duration.h"
#include "base/id.h"
#include "http/message.h"
#include "node/node.h"

namespace ebb::gateway {

/// `total` is from the request's head to now.
http::Response answer_of(node::Reply reply, const base::InvocationId& id, base::Duration total);

/// `queue;dur=0.012, start;dur=1.9;desc="fork", init;dur=0, handler;dur=0.8, total;dur=2.8`, in milliseconds.
std::string server_timing(const node::Phases& phases, base::Duration total);

}  // namespace ebb::gateway
