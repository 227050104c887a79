#include "sim/text_file.h"

#include <fstream>

namespace ebb::sim {

base::Result<void> write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return base::invalid_argument("cannot write " + path + ": choose another place");
  return {};
}

}  // namespace ebb::sim
