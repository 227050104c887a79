#include "base/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace ebb::base {
namespace {

constexpr std::size_t kTextMax = 64;

bool bit(const IpAddress& address, unsigned at) { return (address.bytes[at / 8] >> (7 - at % 8) & 1) != 0; }

}  // namespace

Result<IpAddress> parse_ip(std::string_view text) {
  const auto bad = [&] {
    return invalid_argument("'" + std::string(text.substr(0, kTextMax)) +
                            "' is not an IP address such as 192.0.2.1 or 2001:db8::1");
  };
  if (text.size() > kTextMax) return bad();
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return bad();
  IpAddress address;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.bytes = {};
  address.family = IpFamily::kV6;
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return bad();
}

Result<IpRange> parse_ip_range(std::string_view text) {
  const std::size_t slash = text.find('/');
  EBB_TRY(const IpAddress first, parse_ip(text.substr(0, slash)));
  IpRange range = single(first);
  if (slash == std::string_view::npos) return range;
  const std::string_view digits = text.substr(slash + 1);
  const unsigned bits = range.prefix;
  unsigned prefix = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size() || prefix > bits) {
    return invalid_argument("'" + std::string(text.substr(0, kTextMax)) + "' needs a prefix length from 0 to " +
                            std::to_string(bits) + " after the slash");
  }
  for (unsigned at = prefix; at < bits; ++at) {
    if (bit(first, at)) {
      return invalid_argument("'" + std::string(text.substr(0, kTextMax)) + "' has bits set beyond its prefix length");
    }
  }
  range.prefix = static_cast<std::uint8_t>(prefix);
  return range;
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = address.family == IpFamily::kV4 ? AF_INET : AF_INET6;
  ::inet_ntop(family, address.bytes.data(), text.data(), text.size());
  return text.data();
}

std::string to_string(const IpRange& range) {
  std::string text = to_string(range.first);
  if (range.prefix != range.first.size() * 8) text += "/" + std::to_string(range.prefix);
  return text;
}

bool IpRange::contains(const IpAddress& address) const {
  if (address.family != first.family) return false;
  for (unsigned at = 0; at < prefix; ++at) {
    if (bit(first, at) != bit(address, at)) return false;
  }
  return true;
}

bool IpRange::contains(const IpRange& other) const { return other.prefix >= prefix && contains(other.first); }

IpAddress IpRange::last() const {
  IpAddress address = first;
  for (std::size_t at = prefix; at < first.size() * 8; ++at) {
    address.bytes[at / 8] = static_cast<std::uint8_t>(address.bytes[at / 8] | 1U << (7 - at % 8));
  }
  return address;
}

IpAddress ipv4(std::uint32_t host_order) {
  IpAddress address;
  for (unsigned i = 0; i < 4; ++i) address.bytes[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

IpAddress unmapped(const IpAddress& address) {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (address.family != IpFamily::kV6 || !std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin())) {
    return address;
  }
  IpAddress inner;
  std::copy_n(address.bytes.begin() + 12, 4, inner.bytes.begin());
  return inner;
}

IpRange single(const IpAddress& address) {
  return {.first = address, .prefix = static_cast<std::uint8_t>(address.size() * 8)};
}

IpAddress nth(const IpAddress& first, std::uint32_t number) {
  IpAddress address = first;
  const std::size_t low = address.size() - 4;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) word = word << 8 | address.bytes[low + i];
  word += number;
  for (std::size_t i = 0; i < 4; ++i) address.bytes[low + i] = static_cast<std::uint8_t>(word >> (24 - 8 * i));
  return address;
}

}  // namespace ebb::base
