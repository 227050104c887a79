#include "store/secret_box.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/id.h"
#include "os/fd.h"
#include "store/private_file.h"

namespace ebb::store {
namespace {

constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

struct CipherFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, CipherFree>;

base::Result<> fill_random(unsigned char* bytes, std::size_t size) {
  if (::getrandom(bytes, size, 0) == static_cast<ssize_t>(size)) return {};
  return base::os_error("the kernel's randomness", errno);
}

// What the value is bound to. Names hold no NUL, so that no two differ only in where one part ends.
std::string bound_to(const SecretName& name) {
  std::string text = "ebb-secret-1";
  text += '\0';
  text += name.app;
  text += '\0';
  text += name.name;
  text += '\0';
  text += std::to_string(name.version);
  return text;
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string from_hex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string bytes;
  if (text.size() % 2 != 0) return bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return {};
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

base::Error unopened(const SecretName& name) {
  return base::internal(
      "secret " + name.name + " of app " + name.app +
      " cannot be decrypted: it was changed on disk, or secrets.key is another one; set it again with "
      "ebb secret set " +
      name.app + " " + name.name);
}

}  // namespace

base::Result<std::unique_ptr<SecretBox>> SecretBox::open(const std::string& directory, bool may_make) {
  std::unique_ptr<SecretBox> box(new SecretBox());
  const std::string path = directory + "/secrets.key";
  os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() && errno == ENOENT && may_make) {
    EBB_CHECKED(fill_random(box->key_.data(), box->key_.size()));
    EBB_CHECKED(write_private_file(path, {reinterpret_cast<const char*>(box->key_.data()), box->key_.size()}));
    return box;
  }
  if (!file.valid()) {
    return base::internal("the key of the secrets, " + path +
                          ", is not there: put it back from a backup, or remove the secrets' rows and set them anew");
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return base::internal(path + " is not a file");
  if ((status.st_mode & 0777) != 0600) ::fchmod(file.get(), 0600);
  unsigned char more = 0;
  const bool exact = ::read(file.get(), box->key_.data(), box->key_.size()) == static_cast<ssize_t>(box->key_.size()) &&
                     ::read(file.get(), &more, 1) == 0;
  if (!exact)
    return base::internal("the key of the secrets, " + path + ", must have 32 bytes: put it back from a backup");
  return box;
}

SecretBox::~SecretBox() { OPENSSL_cleanse(key_.data(), key_.size()); }

base::Result<std::string> SecretBox::seal(const SecretName& name, std::string_view value) const {
  std::vector<unsigned char> sealed(kNonceBytes + value.size() + kTagBytes);
  EBB_CHECKED(fill_random(sealed.data(), kNonceBytes));
  const std::string bound = bound_to(name);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool ok =
      cipher != nullptr &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), sealed.data()) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes_of(bound), static_cast<int>(bound.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), sealed.data() + kNonceBytes, &size, bytes_of(value),
                        static_cast<int>(value.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), sealed.data() + kNonceBytes + value.size(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, sealed.data() + kNonceBytes + value.size()) ==
          1;
  if (!ok) return base::internal("secret " + name.name + " of app " + name.app + " cannot be encrypted");
  return base::to_hex(std::string_view(reinterpret_cast<const char*>(sealed.data()), sealed.size()));
}

base::Result<std::string> SecretBox::unseal(const SecretName& name, std::string_view sealed_hex) const {
  std::string sealed = from_hex(sealed_hex);
  if (sealed.size() < kNonceBytes + kTagBytes) return unopened(name);
  const std::size_t size = sealed.size() - kNonceBytes - kTagBytes;
  const std::string bound = bound_to(name);
  std::string value(size, '\0');
  auto* out = reinterpret_cast<unsigned char*>(value.data());
  char* tag = sealed.data() + kNonceBytes + size;
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int written = 0;
  const bool ok =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), bytes_of(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &written, bytes_of(bound), static_cast<int>(bound.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), out, &written, bytes_of(sealed) + kNonceBytes, static_cast<int>(size)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), out + size, &written) == 1;
  if (!ok) return unopened(name);
  return value;
}

}  // namespace ebb::store
