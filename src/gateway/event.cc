#include "gateway/event.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <tuple>
#include <vector>

#include "gateway/json_text.h"
#include "http/head.h"

namespace ebb::gateway {
namespace {

/// `before` is the JSON in front of the value: ",\"path\":".
void append_member(std::string& out, std::string_view before, std::string_view text) {
  out += before;
  append_json(out, text);
}

struct Pair {
  std::string name;
  std::string value;
  std::size_t order = 0;  // among all pairs, as they came
};

// An object of the pairs, equal names joined by a comma in the order they came.
void append_joined(std::string& out, std::vector<Pair>& pairs) {
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i].order = i;
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& a, const Pair& b) { return std::tie(a.name, a.order) < std::tie(b.name, b.order); });
  out += '{';
  for (std::size_t first = 0; first < pairs.size();) {
    std::size_t next = first + 1;
    for (; next < pairs.size() && pairs[next].name == pairs[first].name; ++next) {
      pairs[first].value += ',';
      pairs[first].value += pairs[next].value;
    }
    if (first > 0) out += ',';
    append_json(out, pairs[first].name);
    append_member(out, ":", pairs[first].value);
    first = next;
  }
  out += '}';
}

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// What a form means by the text; a broken escape is left as it is, for the function to judge.
std::string decoded(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  if (spaced.find('%') == std::string::npos) return spaced;
  auto plain = http::percent_decode(spaced);
  return plain ? std::move(*plain) : std::string(text);
}

template <typename Use>
void for_each_part(std::string_view text, char separator, Use use) {
  while (!text.empty()) {
    const auto end = text.find(separator);
    use(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

void append_cookies(std::string& out, const http::Headers& headers) {
  bool any = false;
  for (const http::Header& header : headers) {
    if (!http::same_name(header.name, "cookie")) continue;
    for_each_part(header.value, ';', [&](std::string_view part) {
      part = http::trimmed(part);
      if (part.empty()) return;
      append_member(out, any ? "," : R"(,"cookies":[)", part);
      any = true;
    });
  }
  if (any) out += ']';
}

void append_headers(std::string& out, const http::Headers& headers) {
  std::vector<Pair> pairs;
  pairs.reserve(headers.size());
  for (const http::Header& header : headers) {
    if (http::same_name(header.name, "cookie")) continue;
    pairs.push_back(Pair{lower(header.name), header.value});
  }
  out += R"(,"headers":)";
  append_joined(out, pairs);
}

void append_query(std::string& out, std::string_view query) {
  std::vector<Pair> pairs;
  for_each_part(query, '&', [&](std::string_view part) {
    if (part.empty()) return;
    const auto equals = part.find('=');
    const auto value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    pairs.push_back(Pair{decoded(part.substr(0, equals)), decoded(value)});
  });
  if (pairs.empty()) return;
  out += R"(,"queryStringParameters":)";
  append_joined(out, pairs);
}

// The common log format, in UTC: "22/Nov/2026:21:21:54 +0000".
std::string log_time(base::WallTime time) {
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%02d/%s/%04d:%02d:%02d:%02d +0000", parts.tm_mday,
                kMonths[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                parts.tm_sec);
  return text.data();
}

void append_request_context(std::string& out, const node::Call& call, base::WallTime now) {
  const http::Request& request = call.request;
  const std::string_view host = call.host();
  out += R"(,"requestContext":{"accountId":"anonymous")";
  append_member(out, R"(,"apiId":)", call.app + "." + call.function);
  append_member(out, R"(,"domainName":)", host);
  append_member(out, R"(,"domainPrefix":)", host.substr(0, host.find_first_of(".:")));
  append_member(out, R"(,"http":{"method":)", request.method);
  append_member(out, R"(,"path":)", call.function_path());
  out += request.version == 10 ? R"(,"protocol":"HTTP/1.0")" : R"(,"protocol":"HTTP/1.1")";
  append_member(out, R"(,"sourceIp":)", call.client_address());
  append_member(out, R"(,"userAgent":)", request.headers.get("user-agent"));
  append_member(out, R"(},"requestId":)", base::to_string(call.id));
  append_member(out, R"(,"routeKey":"$default","stage":"$default","time":)", log_time(now));
  const auto epoch = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  out += R"(,"timeEpoch":)";
  out += std::to_string(epoch.count());
  out += '}';
}

}  // namespace

std::string http_event(const node::Call& call, base::WallTime now) {
  const http::Request& request = call.request;
  std::string out;
  out.reserve(1024 + 2 * request.target.size());
  out += R"({"version":"2.0","routeKey":"$default")";
  append_member(out, R"(,"rawPath":)", call.function_path());
  append_member(out, R"(,"rawQueryString":)", request.query);
  append_cookies(out, request.headers);
  append_headers(out, request.headers);
  append_query(out, request.query);
  append_request_context(out, call, now);
  out += '}';
  return out;
}

}  // namespace ebb::gateway
