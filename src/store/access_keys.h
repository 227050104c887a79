// Making and matching access keys: the only code that ever sees a key's text beside the request that carries it.
// Called by the node (the local admin key) and the gateway (new keys, requests that show one).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/access_key.h"

namespace ebb::store {

struct FreshKey {
  model::AccessKey key;
  std::string text;  // shown once and forgotten
};

/// 256 bits of the kernel's randomness; `created` is now. The caller has passed check_key. Errors: kInternal.
base::Result<FreshKey> make_key(model::Role role, std::string app, std::string label);

/// True when `text` is this key. The time does not depend on how much of it is right. Cost: one SHA-256, < 1 us.
bool matches(const model::AccessKey& key, std::string_view text);

}  // namespace ebb::store
