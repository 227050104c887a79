// What functions/burn.py is, in C++, with the same library's SHA-256 as Python has it from: OpenSSL's.
#include <ebb/function.h>
#include <openssl/evp.h>

#include <memory>
#include <string>
#include <vector>

namespace {

std::string burn(long rounds) {
  static const std::vector<unsigned char> block(1 << 20);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  bool done = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (long round = 0; done && round < rounds; ++round) {
    done = EVP_DigestUpdate(context.get(), block.data(), block.size()) == 1;
  }
  if (!done || EVP_DigestFinal_ex(context.get(), digest, &size) != 1) throw ebb::Error("Digest", "no SHA-256");
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

ebb::Response handler(const ebb::Event& event, ebb::Context&) {
  return ebb::Response::json("{\"digest\": \"" + burn(std::stol(event.query("rounds", "0"))) + "\"}");
}

}  // namespace

EBB_FUNCTION(handler)
