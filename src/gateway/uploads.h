// What the daemon holds of uploads of deployments, from their first byte until they are unpacked.
//
// An upload may be as long as eight bodies of calls, and take hours where its client is slow: without a part for each,
// whoever may deploy one app could keep everybody from deploying, and from calling, too.
#pragma once

#include "base/limits.h"
#include "base/limits_held.h"
#include "sandbox/holdings.h"

namespace ebb::gateway {

inline constexpr sandbox::HoldingBounds kUploadBounds{
    .free_bytes = limits::kUnreadBodyBytes,
    .app_bytes = limits::kUploadBytesPerOwner,
    .node_bytes = limits::kUploadBytesPerNode,
    .largest_bytes = limits::kUploadBytesAlways,
    .app_full = base::Code::kResourceExhausted,
    .before = "",
    .what = "uploads",
    .remedy = ", until they are unpacked, one at a time: try again later"};

static_assert(limits::kPackageUploadBytes <= limits::kUploadBytesPerOwner);
// Who holds all that may be held leaves room for what is not counted: a thousand short bodies.
static_assert(limits::kAnswerBytesPerNode + limits::kRequestBytesPerNode + limits::kUploadBytesPerNode +
                  1000 * limits::kUnreadBodyBytes <=
              limits::kBufferedBodyBytes);

}  // namespace ebb::gateway
