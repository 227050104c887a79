#include "http/response_head.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace ebb::http {
namespace {

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto [end, failed] = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, end);
}

bool is_servers_own(std::string_view name) {
  switch (name.size()) {
    case 4: return same_name(name, "date");
    case 6: return same_name(name, "server");
    case 10: return same_name(name, "connection") || same_name(name, "keep-alive");
    case 14: return same_name(name, "content-length");
    case 17: return same_name(name, "transfer-encoding");
    default: return false;
  }
}

}  // namespace

std::string_view http_date() {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t second = -1;
  thread_local std::array<char, 64> text{};
  thread_local std::size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != second) {
    second = now;
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    // Not strftime: its names follow the locale.
    length = static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                                    kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                                                    kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900,
                                                    utc.tm_hour, utc.tm_min, utc.tm_sec));
  }
  return {text.data(), length};
}

bool is_sendable(const Response& response) {
  const bool switches = response.status == 101 && response.tunnel;
  if ((response.status < 200 && !switches) || response.status > 999) return false;
  for (const Header& header : response.headers) {
    if (!is_header_name(header.name) || !is_header_value(header.value)) return false;
  }
  return true;
}

void append_response_head(std::string& out, const Response& response, const ResponseForm& form) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(response.status));
  out += ' ';
  out += reason_of(response.status);
  out += "\r\nServer: ebb\r\nDate: ";
  out += http_date();
  out += "\r\n";
  for (const Header& header : response.headers) {
    if (is_servers_own(header.name)) continue;
    out += header.name;
    out += ": ";
    out += header.value;
    out += "\r\n";
  }
  if (form.chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (form.sized) {
    out += "Content-Length: ";
    append_number(out, response.stream ? response.stream_bytes.value_or(0) : response.body.size());
    out += "\r\n";
  }
  if (response.status == 101) {
    out += "Connection: Upgrade\r\n";
  } else if (!form.keep_alive) {
    out += "Connection: close\r\n";
  } else if (form.version == 10) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
}

}  // namespace ebb::http
