// Names of apps and functions: [a-z0-9]([a-z0-9-]*[a-z0-9])?, at most limits::kNameLength characters. They appear in
// URLs, directory names, cgroup names and usage records unescaped, which is why the alphabet is narrow: no dots, no
// slashes, no upper case. Everything that takes a name from outside checks it here first.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ebb::model {

/// True when the text can name an app or a function.
bool is_name(std::string_view text);

/// Errors: kInvalidArgument saying what a name looks like; `what` is "app", "function" or
/// "organisation".
base::Result<void> check_name(std::string_view what, std::string_view text);

/// True for [A-Za-z_][A-Za-z0-9_]*: an environment variable's name or one part of a handler's path.
bool is_identifier(std::string_view text);

}  // namespace ebb::model
