// What the daemon holds of callers' bodies: those that are read whole, from their first byte until the call has ended.
//
// A caller needs no instance to send one, and a slow one keeps what it has sent: without a bound the callers of one app
// would take what the node holds of bodies, and the calls of all others would be refused.
#pragma once

#include "base/limits.h"
#include "base/limits_held.h"
#include "sandbox/holdings.h"

namespace ebb::sandbox {

inline constexpr HoldingBounds kRequestBodyBounds{.free_bytes = limits::kUnreadBodyBytes,
                                                  .app_bytes = limits::kRequestBytesPerApp,
                                                  .node_bytes = limits::kRequestBytesPerNode,
                                                  .largest_bytes = limits::kHttpBodyBytes,
                                                  .app_full = base::Code::kResourceExhausted,
                                                  .before = "app ",
                                                  .what = "request bodies",
                                                  .remedy = ", until their calls have ended: try again shortly"};

}  // namespace ebb::sandbox
