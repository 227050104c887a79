#include "store/access_keys.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <array>
#include <cerrno>

#include "base/id.h"
#include "store/sha256.h"

namespace ebb::store {

base::Result<FreshKey> make_key(model::Role role, std::string app, std::string label) {
  constexpr std::size_t kIdBytes = 6;
  std::array<char, kIdBytes + 32> random{};
  // A request of up to 256 bytes is never cut short.
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return base::os_error("the kernel's randomness", errno);
  }
  const std::string_view bytes(random.data(), random.size());
  FreshKey fresh;
  fresh.key.id = base::to_hex(bytes.substr(0, kIdBytes));
  fresh.text = std::string(model::kKeyPrefix) + fresh.key.id + "_" + base::to_hex(bytes.substr(kIdBytes));
  OPENSSL_cleanse(random.data(), random.size());
  fresh.key.digest = sha256_hex(fresh.text);
  fresh.key.role = role;
  fresh.key.app = std::move(app);
  fresh.key.label = std::move(label);
  fresh.key.created = base::wall_now();
  return fresh;
}

bool matches(const model::AccessKey& key, std::string_view text) {
  const std::string digest = sha256_hex(text);
  return digest.size() == key.digest.size() && CRYPTO_memcmp(digest.data(), key.digest.data(), digest.size()) == 0;
}

}  // namespace ebb::store
