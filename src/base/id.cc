#include "base/id.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"

namespace ebb::base {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t kTextLength = 26;

// Kernel randomness fetched a page at a time, one pool per thread.
class RandomPool {
 public:
  void take(std::uint8_t* out, std::size_t count) {
    if (count > left_) refill();
    std::memcpy(out, pool_.data() + pool_.size() - left_, count);
    left_ -= count;
  }

 private:
  void refill() {
    std::size_t filled = 0;
    while (filled < pool_.size()) {
      const ssize_t got = getrandom(pool_.data() + filled, pool_.size() - filled, 0);
      if (got < 0 && errno == EINTR) continue;
      EBB_CHECK(got > 0);
      filled += static_cast<std::size_t>(got);
    }
    left_ = pool_.size();
  }

  std::array<std::uint8_t, 4096> pool_{};
  std::size_t left_ = 0;
};

int digit_of(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  const auto at = kAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

InvocationId new_invocation_id() {
  thread_local RandomPool pool;
  InvocationId id;
  const auto millis = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(wall_now().time_since_epoch()).count());
  for (std::size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  pool.take(id.bytes.data() + 6, 10);
  return id;
}

std::string to_string(const InvocationId& id) {
  // 128 bits in 26 digits of 5: the first digit carries the top 3 bits.
  std::string text(kTextLength, '0');
  unsigned __int128 value = 0;
  for (const std::uint8_t byte : id.bytes) value = (value << 8) | byte;
  for (std::size_t i = kTextLength; i-- > 0;) {
    text[i] = kAlphabet[static_cast<std::size_t>(value & 31)];
    value >>= 5;
  }
  return text;
}

Result<InvocationId> parse_invocation_id(std::string_view text) {
  const auto bad = [&] {
    return invalid_argument("'" + std::string(text) + "' is not a request id, it has 26 letters and digits");
  };
  if (text.size() != kTextLength || digit_of(text[0]) < 0 || digit_of(text[0]) > 7) return bad();
  unsigned __int128 value = 0;
  for (const char c : text) {
    const int digit = digit_of(c);
    if (digit < 0) return bad();
    value = (value << 5) | static_cast<unsigned>(digit);
  }
  InvocationId id;
  for (std::size_t i = 16; i-- > 0;) {
    id.bytes[i] = static_cast<std::uint8_t>(value & 0xff);
    value >>= 8;
  }
  return id;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

bool is_content_key(std::string_view text) { return text.size() == 64 && is_hex(text); }

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

}  // namespace ebb::base
