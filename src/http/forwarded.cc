#include "http/forwarded.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "http/head.h"

namespace ebb::http {
namespace {

constexpr std::size_t kHostBytes = 255 + sizeof(":65535") - 1;

// "192.0.2.1", "2001:db8::1"; some proxies add the port: "192.0.2.1:4711", "[2001:db8::1]:4711".
std::optional<base::IpAddress> address_in(std::string_view text) {
  if (text.starts_with('[')) {
    text = text.substr(1, text.find(']') - 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    text = text.substr(0, text.find(':'));
  }
  const auto address = base::parse_ip(text);
  return address ? std::optional(base::unmapped(*address)) : std::nullopt;
}

bool holds(const std::vector<base::IpRange>& ranges, const base::IpAddress& address) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const base::IpRange& one) { return one.contains(address); });
}

// The only value of a header that must not be a list.
std::string_view only_value(const Headers& headers, std::string_view name) {
  return headers.count(name) == 1 ? trimmed(headers.get(name)) : std::string_view();
}

bool is_host(std::string_view text) {
  const auto may_be_there = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._:[]").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kHostBytes && std::all_of(text.begin(), text.end(), may_be_there);
}

// Each hop has written whom it heard, on the right.
std::string client_of(const Headers& headers, const std::vector<base::IpRange>& trusted) {
  std::string hops;
  for (const Header& header : headers) {
    if (same_name(header.name, "x-forwarded-for")) hops.append(hops.empty() ? "" : ",").append(header.value);
  }
  std::string client;
  std::string_view rest = hops;
  while (!rest.empty()) {
    const auto comma = rest.rfind(',');
    const auto hop = address_in(trimmed(comma == std::string_view::npos ? rest : rest.substr(comma + 1)));
    if (!hop) break;
    client = base::to_string(*hop);
    if (comma == std::string_view::npos || !holds(trusted, *hop)) break;
    rest = rest.substr(0, comma);
  }
  return client;
}

}  // namespace

Forwarded forwarded_by(const Request& request, const std::vector<base::IpRange>& trusted) {
  Forwarded told;
  if (trusted.empty()) return told;
  const auto peer = address_in(request.peer_address);
  if (!peer || !holds(trusted, *peer)) return told;
  told.client = client_of(request.headers, trusted);
  const std::string_view scheme = only_value(request.headers, "x-forwarded-proto");
  for (const std::string_view known : {"http", "https"}) {
    if (same_name(scheme, known)) told.scheme = known;
  }
  const std::string_view host = only_value(request.headers, "x-forwarded-host");
  if (is_host(host)) told.host = host;
  return told;
}

}  // namespace ebb::http
