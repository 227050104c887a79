// Which key the command line shows to which daemon.
//
// 1. In this order: --key-file or EBB_KEY_FILE, EBB_KEY, the line of ~/.config/ebb/keys that begins with the URL, and
// for a
//    daemon on this machine's loopback the local admin key, where the user may read it.
// 2. The local admin key goes only to a listener that runs under the account that owns the key: another user's program
// on
//    a port that Ebb has left gets nothing.
// 3. A key file that others can read is refused, as ssh does. Keys are never arguments: `ps` shows those to everybody.
// Called by Session::rest.
#pragma once

#include <string>

#include "base/result.h"

namespace ebb::cli {

/// The key's text, or "" when there is none to show. `key_file`: "" when none was named.
/// Errors: kNotFound, kPermissionDenied, kInvalidArgument naming the file and the remedy; never its content.
base::Result<std::string> find_key(const std::string& url, const std::string& key_file);

}  // namespace ebb::cli
