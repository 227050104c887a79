// SecretBox: secrets sealed for the disk, AES-256-GCM under a key of the node.
//
// 1. The key is DATA_DIR/secrets.key, 32 bytes of the kernel's randomness made at the first start, mode 0600, the
//    daemon's. It is in no database: a copy of the metadata alone opens nothing.
// 2. A sealed value is bound to its app, name and version: a row moved to another app or an old value put back does not
//    open. Every sealing takes a fresh random nonce.
// 3. It does not guard against root or the daemon's account: they hold the key.
// Called by the node, never on the request path. Source: NIST SP 800-38D.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::store {

/// Which secret a sealed value belongs to.
struct SecretName {
  std::string app;
  std::string name;
  std::uint64_t version = 0;  // counts up with every value
};

class SecretBox {
 public:
  /// Reads the key, or makes it when there is none. `may_make`: false once sealed values exist, so that a lost key is
  /// an error and not a new key beside values that nobody can open. Errors: kInternal naming the file and the remedy.
  static base::Result<std::unique_ptr<SecretBox>> open(const std::string& directory, bool may_make);
  ~SecretBox();
  SecretBox(const SecretBox&) = delete;
  SecretBox& operator=(const SecretBox&) = delete;

  /// Hexadecimal: nonce, ciphertext, tag. Errors: kInternal.
  base::Result<std::string> seal(const SecretName& name, std::string_view value) const;
  /// Errors: kInternal when it was not sealed for this name by this key; the message holds the name, never a value.
  base::Result<std::string> unseal(const SecretName& name, std::string_view sealed) const;

 private:
  SecretBox() = default;
  std::array<unsigned char, 32> key_{};
};

}  // namespace ebb::store
