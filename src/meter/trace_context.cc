#include "meter/trace_context.h"

#include <algorithm>

#include "base/check.h"

namespace ebb::meter {
namespace {

constexpr std::size_t kLength = 55;  // of version 00: "00-", 32 digits, "-", 16 digits, "-", 2 digits
constexpr unsigned kChildBits = 7;

// Capital digits are not of the form.
int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

template <std::size_t N>
bool read_hex(std::string_view text, std::array<std::uint8_t, N>& out) {
  for (std::size_t i = 0; i < N; ++i) {
    const int high = digit_of(text[2 * i]);
    const int low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

template <std::size_t N>
bool is_zero(const std::array<std::uint8_t, N>& id) {
  return std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte == 0; });
}

template <std::size_t N>
void append_hex(std::string& out, const std::array<std::uint8_t, N>& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return {};
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  TraceContext context;
  if (!read_hex(text, version) || !read_hex(text.substr(3), context.trace) ||
      !read_hex(text.substr(36), context.span) || !read_hex(text.substr(53), flags)) {
    return {};
  }
  if (version[0] == 0xff || (version[0] == 0 && text.size() != kLength)) return {};
  if (text.size() > kLength && text[kLength] != '-') return {};
  if (is_zero(context.trace) || is_zero(context.span)) return {};
  context.flags = flags[0] & (TraceContext::kSampled | TraceContext::kRandom);
  return context;
}

std::string traceparent_of(const TraceContext& context) {
  std::string out;
  out.reserve(kLength);
  out += "00-";
  append_hex(out, context.trace);
  out += '-';
  append_hex(out, context.span);
  out += '-';
  append_hex(out, std::array<std::uint8_t, 1>{context.flags});
  return out;
}

TraceContext begin_trace(const base::InvocationId& invocation, double ratio) {
  TraceContext context{.trace = invocation.bytes, .flags = TraceContext::kRandom};
  // Of the random part 53 bits, which a double holds exactly.
  std::uint64_t random = 0;
  for (std::size_t i = 9; i < 16; ++i) random = random << 8 | context.trace[i];
  if (static_cast<double>(random >> 3) < ratio * static_cast<double>(std::uint64_t{1} << 53)) {
    context.flags |= TraceContext::kSampled;
  }
  return context;
}

SpanId new_span_id() {
  const base::InvocationId random = base::new_invocation_id();  // its last 10 bytes are
  SpanId span{};
  std::copy_n(random.bytes.end() - span.size(), span.size(), span.begin());
  span.back() &= static_cast<std::uint8_t>(~kChildBits);
  if (is_zero(span)) span.front() = 1;
  return span;
}

SpanId child_of(const SpanId& span, unsigned number) {
  EBB_CHECK(number >= 1 && number <= kChildBits);
  SpanId child = span;
  child.back() |= static_cast<std::uint8_t>(number);
  return child;
}

std::string hex_of(const TraceId& id) {
  std::string out;
  append_hex(out, id);
  return out;
}

std::string hex_of(const SpanId& id) {
  std::string out;
  append_hex(out, id);
  return out;
}

}  // namespace ebb::meter
