// SHA-256 over pieces: the content keys of packages and layers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace ebb::store {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  /// 64 lower-case hexadecimal digits. Once only.
  std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// The SHA-256 of one piece, in hexadecimal.
std::string sha256_hex(std::string_view bytes);

}  // namespace ebb::store
