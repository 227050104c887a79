// Small whole files, such as those of procfs and cgroups, read and written in one call each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

/// Writes all of `content` with one write(2) to an existing file; nothing is created. Path: absolute, trusted.
base::Result<> write_file(const std::string& path, std::string_view content);
/// The same to a file of procfs, verified to be one: a mask or a link laid over it must not take a write meant for the
/// kernel. Links are not followed but /proc/self. Errors: kPermissionDenied when it is something else.
base::Result<> write_procfs(const std::string& path, std::string_view content);
/// At most 1 MiB. Path: absolute, trusted.
base::Result<std::string> read_file(const std::string& path);
/// What an open file begins with, whatever its offset, as far as it fits into `room`, where it lies then.
base::Result<std::string_view> read_start(const Fd& file, std::span<char> room);
/// The number after `key` and white space at the start of a line ("usage_usec 123"); with an empty key, the number the
/// text begins with. Errors: kNotFound.
base::Result<std::uint64_t> number_in(std::string_view text, std::string_view key);

}  // namespace ebb::os
