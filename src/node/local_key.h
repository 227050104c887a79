// The local admin key: DATA_DIR/admin.key, made at the first start, readable by the daemon's account and root only. It
// is how whoever owns the machine manages the node without being given a key. Deleting the file and restarting makes a
// new one and revokes the old. Called once, by open_stores.
#pragma once

#include <string>

#include "base/result.h"
#include "store/metadata.h"

namespace ebb::node {

/// Makes the file and its row in the metadata unless both are there and agree. Blocking.
/// Errors: kInternal naming the file; those of the metadata.
base::Result<> ensure_local_key(const std::string& data_dir, store::Metadata& metadata);

}  // namespace ebb::node
