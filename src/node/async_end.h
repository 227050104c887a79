// What the answer to an attempt says of an asynchronous call: done, to be tried again as what user code did, or as what
// the platform did. Pure. Called by async_calls.cc.
#pragma once

#include <optional>

#include "model/usage.h"
#include "node/node.h"
#include "sched/async_queue.h"

namespace ebb::node {

/// `outcome`: that of the usage record; nothing where the attempt got no instance. `status`: of the answer to a
/// timer, whom nobody else reads it for: one beyond 2xx says that it failed, as a web server says it.
sched::AsyncEnd async_end_of(const std::optional<base::Error>& error, std::optional<model::Outcome> outcome,
                             std::optional<int> status = std::nullopt);

}  // namespace ebb::node
