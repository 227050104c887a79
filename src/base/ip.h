// IP addresses and ranges of them as plain values: read, written, compared. No socket, no name look-up.
//
// An IPv4 address is never the same as its IPv4-mapped IPv6 form here: whoever compares addresses of both kinds decides
// that with unmapped(). Used by model (configuration, allow-lists), node (names) and the launcher (filter rules).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::base {

enum class IpFamily : std::uint8_t { kV4 = 4, kV6 = 6 };

struct IpAddress {
  IpFamily family = IpFamily::kV4;
  std::array<std::uint8_t, 16> bytes{};  // in network order; the first 4 of an IPv4 address, the rest 0

  std::size_t size() const { return family == IpFamily::kV4 ? 4 : 16; }
  auto operator<=>(const IpAddress&) const = default;
};

/// An address and how many of its leading bits count; the others are 0.
struct IpRange {
  IpAddress first;
  std::uint8_t prefix = 0;

  bool contains(const IpAddress& address) const;
  /// All of `other` lies within.
  bool contains(const IpRange& other) const;
  bool overlaps(const IpRange& other) const { return contains(other) || other.contains(*this); }
  IpAddress last() const;
  auto operator<=>(const IpRange&) const = default;
};

/// "192.0.2.1" or "2001:db8::1": no zone, no brackets, no octal. Errors: kInvalidArgument.
Result<IpAddress> parse_ip(std::string_view text);
/// "192.0.2.0/24", or a single address. Errors: kInvalidArgument, also when bits beyond the prefix are set.
Result<IpRange> parse_ip_range(std::string_view text);
std::string to_string(const IpAddress& address);
/// Without "/32" or "/128" for a single address.
std::string to_string(const IpRange& range);

IpAddress ipv4(std::uint32_t host_order);
/// The IPv4 address within an IPv4-mapped IPv6 one (::ffff:a.b.c.d); any other as it is.
IpAddress unmapped(const IpAddress& address);
/// The range of one address.
IpRange single(const IpAddress& address);
/// `first` plus `number`, without a carry beyond the lowest 32 bits.
IpAddress nth(const IpAddress& first, std::uint32_t number);

}  // namespace ebb::base
