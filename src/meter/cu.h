// The charge for one invocation, in compute units (CU). Exact integers throughout, so that a bill can be recomputed
// from the usage records to the last digit.
//
//   billed_ms = handler wall time in ms, rounded up; at least 1 when the handler ran, 0 when it did not
//   CU = 1.0 x vCPU-seconds + 0.15 x GiB-seconds + 0.0075 per call
//   vCPU-seconds = cpu_millis/1000 x billed_ms/1000;  GiB-seconds = memory_limit/2^30 x billed_ms/1000
//
// in micro-CU, the whole rounded up. Platform faults and refusals cost nothing. Source of the weights:
// the conversion factors of Alibaba Cloud Function Compute's pay-as-you-go billing (1 CU per vCPU-second, 0.15 per
// GB-second, 75 per 10,000 invocations).
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/duration.h"
#include "model/usage.h"

namespace ebb::meter {

struct Charge {
  std::uint64_t billed_ms = 0;
  std::uint64_t cu_micro = 0;
  bool operator==(const Charge&) const = default;
};

struct ChargedUse {
  model::Outcome outcome = model::Outcome::kOk;
  bool handler_ran = false;
  base::Duration handler{};  // wall time in the handler; negative counts as 0
  std::uint32_t cpu_millis = 0;
  base::Bytes memory_limit;
};

/// Pure. Threads: any.
Charge charge_for(const ChargedUse& use);

}  // namespace ebb::meter
