#include "http/webhook_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>

#include "base/check.h"

namespace ebb::http {
namespace {

constexpr std::string_view kPrefix = "whsec_";
constexpr std::size_t kSecretBytesMin = 24;
constexpr std::size_t kSecretBytesMax = 64;

}  // namespace

base::Result<std::string> parse_webhook_secret(std::string_view text) {
  const base::Error bad = base::invalid_argument(
      "is no webhook secret, write whsec_ and base64 of 24 to 64 random bytes: "
      "echo whsec_$(openssl rand -base64 32)");
  if (!text.starts_with(kPrefix)) return bad;
  text.remove_prefix(kPrefix.size());
  if (text.empty() || text.size() % 4 != 0 || text.size() > (kSecretBytesMax + 2) / 3 * 4) return bad;
  std::array<unsigned char, kSecretBytesMax + 3> bytes{};
  const int length =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return bad;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  const std::size_t size = static_cast<std::size_t>(length) - padding;
  if (size < kSecretBytesMin || size > kSecretBytesMax) return bad;
  return std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

base::Result<std::string> new_webhook_secret() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return base::internal("no random bytes");
  std::array<unsigned char, bytes.size() * 2> text{};
  const int length = EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  return std::string(kPrefix).append(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length));
}

std::string webhook_signature(std::string_view secret, std::string_view id, std::int64_t seconds,
                              std::string_view body) {
  std::string content(id);
  content.append(".").append(std::to_string(seconds)).append(".").append(body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EBB_CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                 reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest.data(),
                 &size) != nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE * 2> text{};
  const int length = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(size));
  return "v1," + std::string(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length));
}

}  // namespace ebb::http
