// One entry of a function's allow-list: where it may connect to, by name or by address, on every port or on one.
//
//   api.example.com         the addresses that the name has when it is asked for
//   *.example.com           every name below example.com, not itself
//   192.0.2.0/24, 2001:db8::1, [2001:db8::1]:443, api.example.com:443
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/result.h"

namespace ebb::model {

struct EgressRule {
  std::string name;                    // lower case, no final dot, "*." in front for all below; empty: by address
  std::optional<base::IpRange> range;  // by address
  std::uint16_t port = 0;              // 0: every port

  /// `host` is lower case without a final dot.
  bool covers_name(std::string_view host) const;
  bool operator==(const EgressRule&) const = default;
};

/// Errors: kInvalidArgument with the accepted forms.
base::Result<EgressRule> parse_egress_rule(std::string_view text);
/// In the form parse_egress_rule reads.
std::string to_string(const EgressRule& rule);

/// A host name as DNS compares it: lower case, no final dot. nullopt when it is none (length, characters, labels).
std::optional<std::string> normal_host_name(std::string_view text);

/// Addresses that no function reaches unless the node's configuration permits them (private networks and the like);
/// never: not even then (loopback, link-local, metadata services, multicast).
const std::vector<base::IpRange>& private_ranges();
const std::vector<base::IpRange>& never_ranges();

}  // namespace ebb::model
