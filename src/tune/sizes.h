// What a function is tried at, and what came of it. Pure values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace ebb::tune {

struct Size {
  base::Bytes memory;
  std::uint32_t cpu_millis = 0;  // thousandths of a core
  bool operator==(const Size&) const = default;
};

/// One call of a version, by its usage record.
struct Sample {
  double handler_ms = 0;
  double cu = 0;
  double peak_mb = 0;
  bool ok = false;
  std::string outcome;
};

/// All that was seen of one size.
struct Measured {
  Size size;
  bool current = false;           // it is what the function has now
  double first_ms = 0;            // the call that found nothing ready
  std::vector<Sample> samples{};  // the others

  std::size_t failed() const;
  /// Of the samples that went well, by nearest rank; 0 without any.
  double handler_ms(double quantile) const;
  double cu_per_call() const;
  double peak_mb() const;
};

/// "256Mi,512Mi,1Gi" and "0.25,1,2". Errors: kInvalidArgument naming the entry.
base::Result<std::vector<base::Bytes>> parse_memories(const std::string& text);
base::Result<std::vector<std::uint32_t>> parse_cpus(const std::string& text);

/// Shares of a core worth trying on a machine of so many: 0.25, 0.5, 1, 2, 4 and so on, and what the function has.
std::vector<std::uint32_t> usual_cpus(double processors, std::uint32_t current);

/// What was used at most, and a quarter more, up to the next 16 MiB.
base::Bytes enough_memory(double peak_mb);

std::string cpu_text(std::uint32_t cpu_millis);

}  // namespace ebb::tune
