// What proxies in front of this server say of the client that they speak for: X-Forwarded-For, -Proto and -Host.
//
// Anybody can send these headers, so they are believed of trusted peers only, and each hop by itself: the client is the
// rightmost address that is no trusted proxy's. Called by the gateway for calls of functions.
#pragma once

#include <string>
#include <vector>

#include "base/ip.h"
#include "http/message.h"

namespace ebb::http {

/// Each is "" where nobody who is trusted says it.
struct Forwarded {
  std::string client{};  // an address as Request::peer_address is
  std::string scheme{};  // "http" or "https"
  std::string host{};    // with its port, if there is one
};

/// All empty when the peer is none of `trusted`. A scheme or a host that comes more than once, as a list, or malformed
/// is left out; so is a list of addresses from its first malformed entry on, from the right. Cost: none without trusted
/// proxies, else linear in headers and ranges.
Forwarded forwarded_by(const Request& request, const std::vector<base::IpRange>& trusted);

}  // namespace ebb::http
