// An alias: a name for a version of a function, which may be moved to another at any time. While a new version is tried
// on a part of the calls (a gray release) it stands for two.
//
// Pure. Set through the control plane, kept by store/metadata.h, resolved for each call by the node.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"

namespace ebb::model {

/// Stands for the current version wherever the name of an alias may stand; no alias has it.
inline constexpr std::string_view kCurrentName = "current";

/// The second version of a gray release.
struct AliasWeight {
  std::uint32_t version = 0;  // 0: there is none
  std::uint32_t percent = 0;  // of the calls, 1 to 99; the others go to the first
  bool operator==(const AliasWeight&) const = default;
};

struct Alias {
  std::string app;
  std::string function;
  std::string name;
  std::uint32_t version = 0;
  AliasWeight weight{};
  base::WallTime updated{};

  /// Whether it stands for that version, alone or beside another.
  bool stands_for(std::uint32_t number) const { return number == version || (weight.version == number && number != 0); }
  bool operator==(const Alias&) const = default;
};

/// The version that serves the call. The same for the same call: what is random is the call's id.
std::uint32_t version_for(const Alias& alias, const base::InvocationId& call);

/// "3": a version's number. Errors: kInvalidArgument.
base::Result<std::uint32_t> parse_version_number(std::string_view text);
/// "4=10": 10 percent of the calls to version 4. Errors: kInvalidArgument.
base::Result<AliasWeight> parse_alias_weight(std::string_view text);

/// Whether the text is a number rather than a name.
bool is_all_digits(std::string_view text);
/// Errors: kInvalidArgument saying what a name looks like.
base::Result<void> check_alias_name(std::string_view text);
/// The name, and that the two versions differ. Errors: kInvalidArgument.
base::Result<void> check_alias(const Alias& alias);

/// As the REST interface shows it: {"app", "function", "name", "version", "weight": {"version", "percent"} or null,
/// "updated"}.
boost::json::object to_json(const Alias& alias);

}  // namespace ebb::model
