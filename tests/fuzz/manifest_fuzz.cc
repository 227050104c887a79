// ebb.yaml and the daemon's configuration from arbitrary bytes: no crash, and what was accepted keeps its promises.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/config.h"
#include "model/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto manifest = ebb::model::parse_manifest(text)) {
    EBB_CHECK(!manifest->app.empty() && !manifest->functions.empty());
    for (const auto& spec : manifest->functions) EBB_CHECK(!ebb::model::first_violation(spec));
  }
  if (const auto config = ebb::model::parse_config(text)) {
    const auto again = ebb::model::parse_config(ebb::model::effective_config_yaml(*config));
    EBB_CHECK(again && *again == *config);
  }
  return 0;
}
