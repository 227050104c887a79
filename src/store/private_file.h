// Files that hold a key: readable by nobody but their owner, whole or not there.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::store {

/// Makes or replaces the file, mode 0600, durably. A reader sees the old content or all of the new. Blocking.
base::Result<> write_private_file(const std::string& path, std::string_view bytes);

}  // namespace ebb::store
