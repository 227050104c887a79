// A small JSON body of the control plane, read strictly: an object, every member known and a string.
// Called by control_plane.cc.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::gateway {

using TextMembers = std::map<std::string, std::string, std::less<>>;

/// Absent members are absent from the answer. Errors: kTooLarge beyond limits::kControlBodyBytes, kInvalidArgument
/// naming the member; the values never appear in a message.
base::Result<TextMembers> parse_text_members(std::string_view body, std::initializer_list<std::string_view> known);

}  // namespace ebb::gateway
