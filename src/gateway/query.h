// The query of a control plane request: every parameter known, none twice, each read into its type, or an error that
// names it. Called by control_plane.cc.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"

namespace ebb::gateway {

class Query {
 public:
  /// Errors: kInvalidArgument for a parameter that is not `known` (with a suggestion), that stands twice, or a broken
  /// escape.
  static base::Result<Query> parse(std::string_view query, std::initializer_list<std::string_view> known);

  /// "" when absent.
  std::string text(std::string_view name) const;
  /// A whole number from min to max; `fallback` when absent.
  base::Result<std::uint64_t> number(std::string_view name, std::uint64_t fallback, std::uint64_t min,
                                     std::uint64_t max) const;
  /// A name of an app or function, or "" when absent.
  base::Result<std::string> name(std::string_view name) const;
  base::Result<std::optional<base::InvocationId>> request() const;
  /// "2026-11-22T21:21:54Z", or "15m": that long before `now`.
  base::Result<std::optional<base::WallTime>> time(std::string_view name, base::WallTime now) const;

 private:
  const std::string* find(std::string_view name) const;

  std::map<std::string, std::string, std::less<>> values_;
};

/// RFC 3339 with "Z" or an offset, fractions of a second up to nanoseconds. Errors: kInvalidArgument.
base::Result<base::WallTime> parse_rfc3339(std::string_view text);

}  // namespace ebb::gateway
