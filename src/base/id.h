// Identifiers. An InvocationId is 128 bits, time-ordered and unguessable (48 bits of wall milliseconds, 80 of the
// kernel's randomness, as UUIDv7 and ULID do), written as 26 characters of Crockford base32. Node-local things are
// plain counters.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::base {

struct InvocationId {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const InvocationId&) const = default;
};

/// A fresh id. Cost: no system call but once per 4 KiB of randomness and thread. Threads: any.
InvocationId new_invocation_id();
std::string to_string(const InvocationId& id);
/// Errors: kInvalidArgument when the text is not 26 characters of the alphabet.
Result<InvocationId> parse_invocation_id(std::string_view text);

/// Strong counters, unique while a data directory lives (version) or a daemon runs (the others).
enum class VersionId : std::uint64_t {};
enum class SandboxId : std::uint64_t {};
enum class ZygoteId : std::uint64_t {};
enum class InstanceId : std::uint64_t {};

template <typename Id>
constexpr std::uint64_t raw(Id id) {
  return static_cast<std::uint64_t>(id);
}

/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
/// True for exactly 64 lower-case hexadecimal digits: the form of every content key.
bool is_content_key(std::string_view text);
/// Nothing but lower-case hexadecimal digits; also true of nothing at all.
bool is_hex(std::string_view text);

}  // namespace ebb::base
