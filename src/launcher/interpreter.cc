#include "launcher/interpreter.h"

#include <cstdlib>
#include <memory>

#include "launcher/sandbox_root.h"

namespace ebb::launcher {
namespace {

#if defined(__aarch64__)
constexpr const char* kLoader = "/lib/ld-linux-aarch64.so.1";
constexpr const char* kTriplet = "aarch64-linux-gnu";
#else
constexpr const char* kLoader = "/lib64/ld-linux-x86-64.so.2";
constexpr const char* kTriplet = "x86_64-linux-gnu";
#endif

// Absolute links of the host would lead into the image.
std::string below_host(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  return std::string("/") + kHostSystem + (real ? real.get() : path);
}

}  // namespace

std::vector<std::string> python_command(const std::string& python, bool in_image) {
  // Isolated: no user site, no environment; no bytecode is written.
  std::vector<std::string> words = {python, "-I", "-S", "-B"};
  if (!in_image) return words;
  words.front() = below_host(python);
  std::string libraries;
  for (const std::string& folder : {std::string("/lib/") + kTriplet, std::string("/usr/lib/") + kTriplet,
                                    std::string("/lib64"), std::string("/lib"), std::string("/usr/local/lib")}) {
    libraries += (libraries.empty() ? "/" : ":/") + std::string(kHostSystem) + folder;
  }
  // The cache is the image's: it knows other libraries by the same names.
  const std::string loader = below_host(kLoader);
  words.insert(words.begin(), {loader, "--inhibit-cache", "--library-path", libraries});
  return words;
}

}  // namespace ebb::launcher
