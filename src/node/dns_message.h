// DNS messages as far as a forwarder needs them: the question that was asked, the addresses that were answered.
//
// Everything that is read here comes from a hostile sandbox or from a resolver somewhere: every offset is checked,
// names cost at most 128 steps whatever their compression says, counts are bounded. Pure functions. Source: RFC 1035,
// RFC 6891.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/result.h"

namespace ebb::node {

struct DnsQuestion {
  std::uint16_t id = 0;
  std::string name;  // lower case, no final dot; "" is the root
  std::uint16_t type = 0;
  std::uint16_t udp_bytes = 512;  // the longest answer the asker takes over UDP
};

enum class DnsStatus : std::uint8_t { kFormatError = 1, kServerFailure = 2, kNotImplemented = 4, kRefused = 5 };

/// A standard query with one question of class IN. Errors: kInvalidArgument; what has an id can still be told so.
base::Result<DnsQuestion> parse_dns_query(std::string_view message);

/// The query that goes on to a resolver: the same question, recursion wanted, no option of the asker's.
std::string encode_dns_query(const DnsQuestion& question, std::uint16_t id);

/// An answer without records to the query it was asked by (at least its first 12 bytes).
std::string dns_error(std::string_view query, DnsStatus status);
/// As a resolver would say that the answer does not fit: ask over TCP.
std::string dns_truncated(std::string_view query);

struct DnsAnswer {
  bool truncated = false;
  std::vector<base::IpAddress> addresses;  // that the name, or what it is an alias of, has; at most kDnsAddresses
  std::uint32_t seconds = 0;               // the shortest time to live among them
};

/// Whether `message` answers the question with that id, and what it says. Errors: kInvalidArgument when it does not.
base::Result<DnsAnswer> parse_dns_answer(std::string_view message, const DnsQuestion& question, std::uint16_t id);

/// The same message under another id.
std::string with_dns_id(std::string_view message, std::uint16_t id);

}  // namespace ebb::node
