#include "node/dns_message.h"

#include <algorithm>
#include <set>

#include "base/limits.h"

namespace ebb::node {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kNameBytes = 255;
constexpr int kNameSteps = 128;
constexpr std::uint16_t kTypeA = 1;
constexpr std::uint16_t kTypeCname = 5;
constexpr std::uint16_t kTypeAaaa = 28;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kUdpBytes = 1232;  // what resolvers agreed to send without fragments
constexpr unsigned kResponse = 0x8000;
constexpr unsigned kOpcode = 0x7800;
constexpr unsigned kTruncated = 0x0200;
constexpr unsigned kRecursionDesired = 0x0100;
constexpr unsigned kRecursionAvailable = 0x0080;

/// Reads on from a place; every read says whether it was there.
class Cursor {
 public:
  Cursor(std::string_view message, std::size_t at) : message_(message), at_(at) {}
  std::size_t at() const { return at_; }
  bool ok() const { return ok_; }

  std::uint8_t u8() {
    if (at_ >= message_.size()) {
      ok_ = false;
      return 0;
    }
    return static_cast<std::uint8_t>(message_[at_++]);
  }
  std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  std::string_view bytes(std::size_t count) {
    if (!ok_ || count > message_.size() - at_) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = message_.substr(at_, count);
    at_ += count;
    return taken;
  }
  /// A name in lower case with dots; compressed ones too. A dot inside a label makes it no host name.
  std::string name() {
    std::string text;
    std::size_t from = at_;
    bool jumped = false;
    for (int step = 0; step < kNameSteps; ++step) {
      if (from >= message_.size()) break;
      const auto length = static_cast<std::uint8_t>(message_[from]);
      if (length == 0) {
        if (!jumped) at_ = from + 1;
        return text;
      }
      if ((length & 0xc0) == 0xc0) {
        if (from + 1 >= message_.size()) break;
        const std::size_t target = (length & 0x3fU) << 8 | static_cast<std::uint8_t>(message_[from + 1]);
        if (!jumped) at_ = from + 2;
        jumped = true;
        if (target >= from) break;  // only backwards: no loop
        from = target;
        continue;
      }
      if ((length & 0xc0) != 0 || length >= message_.size() - from) break;
      const std::string_view label = message_.substr(from + 1, length);
      if (text.size() + length + 1 > kNameBytes || label.find('.') != std::string_view::npos) break;
      if (!text.empty()) text += '.';
      for (const char c : label) text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      from += 1 + std::size_t{length};
    }
    ok_ = false;
    return {};
  }

 private:
  std::string_view message_;
  std::size_t at_;
  bool ok_ = true;
};

struct Header {
  std::uint16_t id = 0;
  unsigned flags = 0;
  unsigned questions = 0;
  unsigned answers = 0;
  unsigned authorities = 0;
  unsigned additionals = 0;
};

Header header_of(Cursor& cursor) {
  Header header;
  header.id = cursor.u16();
  header.flags = cursor.u16();
  header.questions = cursor.u16();
  header.answers = cursor.u16();
  header.authorities = cursor.u16();
  header.additionals = cursor.u16();
  return header;
}

base::Error malformed() { return base::invalid_argument("malformed DNS message"); }

void put16(std::string& out, unsigned value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xff);
}

std::string reply_without_records(std::string_view query, unsigned flags) {
  Cursor cursor(query, 0);
  const Header asked = header_of(cursor);
  std::string out;
  put16(out, asked.id);
  put16(out, kResponse | kRecursionAvailable | (asked.flags & (kOpcode | kRecursionDesired)) | flags);
  // The question goes back as it came, if there is one that can be read.
  Cursor question(query, kHeaderBytes);
  static_cast<void>(question.name());
  static_cast<void>(question.u32());
  const bool whole = query.size() >= kHeaderBytes && asked.questions == 1 && question.ok();
  put16(out, whole ? 1 : 0);
  out.append(6, '\0');
  if (whole) out += query.substr(kHeaderBytes, question.at() - kHeaderBytes);
  return out;
}

}  // namespace

base::Result<DnsQuestion> parse_dns_query(std::string_view message) {
  if (message.size() < kHeaderBytes || message.size() > limits::kDnsMessageBytes) return malformed();
  Cursor cursor(message, 0);
  const Header header = header_of(cursor);
  if ((header.flags & (kResponse | kOpcode)) != 0 || header.questions != 1 || header.answers != 0 ||
      header.authorities != 0 || header.additionals > 4) {
    return malformed();
  }
  DnsQuestion question{.id = header.id};
  question.name = cursor.name();
  question.type = cursor.u16();
  const std::uint16_t asked_class = cursor.u16();
  if (!cursor.ok() || asked_class != kClassIn) return malformed();
  for (unsigned i = 0; i < header.additionals; ++i) {
    static_cast<void>(cursor.name());
    const std::uint16_t type = cursor.u16();
    const std::uint16_t bytes = cursor.u16();
    static_cast<void>(cursor.u32());
    static_cast<void>(cursor.bytes(cursor.u16()));
    if (!cursor.ok()) return malformed();
    if (type == kTypeOpt) question.udp_bytes = std::max<std::uint16_t>(bytes, 512);
  }
  return question;
}

std::string encode_dns_query(const DnsQuestion& question, std::uint16_t id) {
  std::string out;
  put16(out, id);
  put16(out, kRecursionDesired);
  put16(out, 1);
  out.append(4, '\0');
  put16(out, 1);
  std::string_view left = question.name;
  while (!left.empty()) {
    const std::string_view label = left.substr(0, left.find('.'));
    out += static_cast<char>(label.size());
    out += label;
    left.remove_prefix(std::min(label.size() + 1, left.size()));
  }
  out += '\0';
  put16(out, question.type);
  put16(out, kClassIn);
  // EDNS: an empty name, the size, no flags, no options.
  out += '\0';
  put16(out, kTypeOpt);
  put16(out, kUdpBytes);
  out.append(6, '\0');
  return out;
}

std::string dns_error(std::string_view query, DnsStatus status) {
  return reply_without_records(query, static_cast<unsigned>(status));
}

std::string dns_truncated(std::string_view query) { return reply_without_records(query, kTruncated); }

base::Result<DnsAnswer> parse_dns_answer(std::string_view message, const DnsQuestion& question, std::uint16_t id) {
  Cursor cursor(message, 0);
  const Header header = header_of(cursor);
  if (!cursor.ok() || header.id != id || (header.flags & (kResponse | kOpcode)) != kResponse || header.questions != 1) {
    return malformed();
  }
  const std::string name = cursor.name();
  const std::uint16_t type = cursor.u16();
  const std::uint16_t asked_class = cursor.u16();
  if (!cursor.ok() || name != question.name || type != question.type || asked_class != kClassIn) return malformed();
  DnsAnswer answer{.truncated = (header.flags & kTruncated) != 0};
  if (answer.truncated) return answer;
  // Addresses of the name itself and of what it is an alias of, in the order that resolvers write: alias first.
  std::set<std::string> names = {name};
  std::uint32_t seconds = UINT32_MAX;
  for (unsigned i = 0; i < header.answers; ++i) {
    const std::string owner = cursor.name();
    const std::uint16_t record = cursor.u16();
    const std::uint16_t record_class = cursor.u16();
    const std::uint32_t lives = cursor.u32();
    const std::uint16_t length = cursor.u16();
    Cursor alias(message, cursor.at());
    const std::string_view data = cursor.bytes(length);
    if (!cursor.ok()) return malformed();
    if (record_class != kClassIn || !names.contains(owner)) continue;
    if (record == kTypeCname) {
      const std::string target = alias.name();
      if (!alias.ok()) return malformed();
      if (names.size() < limits::kDnsAddresses) names.insert(target);
      seconds = std::min(seconds, lives);
      continue;
    }
    base::IpAddress address;
    if (record == kTypeA && length == 4) {
      address.family = base::IpFamily::kV4;
    } else if (record == kTypeAaaa && length == 16) {
      address.family = base::IpFamily::kV6;
    } else {
      continue;
    }
    std::copy(data.begin(), data.end(), address.bytes.begin());
    seconds = std::min(seconds, lives);
    if (answer.addresses.size() < limits::kDnsAddresses) answer.addresses.push_back(address);
  }
  if (!answer.addresses.empty()) answer.seconds = seconds;
  return answer;
}

std::string with_dns_id(std::string_view message, std::uint16_t id) {
  std::string out(message);
  if (out.size() < 2) return out;
  out[0] = static_cast<char>(id >> 8);
  out[1] = static_cast<char>(id & 0xff);
  return out;
}

}  // namespace ebb::node
