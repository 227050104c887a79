#include "meter/cu.h"

#include <algorithm>

namespace ebb::meter {
namespace {

using Wide = unsigned __int128;  // 64 GiB for 24 h at 150 per GiB-ms exceeds 64 bits on the way

constexpr std::uint64_t kMicroPerCall = 7'500;  // 0.0075 CU
constexpr std::uint64_t kMicroPerGibMs = 150;   // 0.15 CU per GiB-second
constexpr Wide kBytesPerGib = Wide{1} << 30;
constexpr std::int64_t kNsPerMs = 1'000'000;

}  // namespace

Charge charge_for(const ChargedUse& use) {
  if (use.outcome == model::Outcome::kPlatformFault || use.outcome == model::Outcome::kRefused) return {};
  Charge charge;
  if (use.handler_ran) {
    const std::int64_t ns = std::max<std::int64_t>(use.handler.count(), 0);
    charge.billed_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(ns / kNsPerMs + (ns % kNsPerMs != 0), 1));
  }
  // 1 CU per vCPU-second is 1 micro-CU per millicore-millisecond, so that only memory leaves a fraction.
  const Wide cpu = Wide{use.cpu_millis} * charge.billed_ms;
  const Wide memory =
      (Wide{use.memory_limit.count} * charge.billed_ms * kMicroPerGibMs + kBytesPerGib - 1) / kBytesPerGib;
  charge.cu_micro = static_cast<std::uint64_t>(cpu + memory + kMicroPerCall);
  return charge;
}

}  // namespace ebb::meter
