#include "sim/formatted.h"

#include <cstdarg>
#include <cstdio>

namespace ebb::sim {

std::string formatted(const char* pattern, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

}  // namespace ebb::sim
