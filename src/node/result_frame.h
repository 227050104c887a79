// From what an instance sent (kResult, kError or kStream) to a Reply. All of it is untrusted: statuses and headers are
// checked before a client sees them.
#pragma once

#include <string>
#include <string_view>

#include "model/usage.h"
#include "model/version.h"
#include "node/node.h"
#include "sandbox/channel.h"

namespace ebb::node {

/// Fills `reply` and `outcome`; the body of a kResult is moved out of `frame`, that of a kStream stays. False when the
/// instance must not serve again: it broke the protocol.
bool absorb_result(sandbox::Frame& frame, const model::Version& version, Reply& reply, model::Outcome& outcome);

}  // namespace ebb::node
