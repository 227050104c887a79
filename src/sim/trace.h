// A recorded day of functions, in the form of the Azure Functions 2019 public data set: three CSV files with
// invocations per minute, run-time percentiles in milliseconds and allocated memory percentiles in MB.
//
// Columns are found by their names, in any order: HashOwner, HashApp, HashFunction, Trigger (optional), the minutes as
// `1`..`1440` or `minute_1`..; percentile_Average_N; AverageAllocatedMb and AverageAllocatedMb_pctN. A function without
// run times or an app without memory takes the medians of the others. The data set records no times within a minute:
// Spread says how calls are laid out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sim/curve.h"

namespace ebb::sim {

// Bounds of what the simulator reads and does. It runs by hand and offline, so they are not among the platform's
// limits.
inline constexpr std::size_t kTraceBytes = std::size_t{1} << 30;  // one CSV file, read whole
inline constexpr std::size_t kTraceMinutes = 1440 * 14;           // columns of a trace: two weeks
inline constexpr double kTraceCallsPerMinute = 1e7;               // of one function
inline constexpr std::size_t kCalibrationBytes = 64 << 20;        // a calibration, or the usage records for one
inline constexpr std::uint32_t kSimulatedFunctions = 1'000'000;
inline constexpr std::uint32_t kSimulatedNodes = 100'000;

/// Where in its minute a call falls.
enum class Spread : std::uint8_t {
  kUniform,  // anywhere, independently: a Poisson process given the recorded count
  kTimers,   // the same, but functions whose record is regular keep one phase within the minute, as timers do
  kEven,     // every function spreads its calls evenly, from a phase of its own
};

struct TraceFunction {
  std::string name;  // app/function, shortened hashes
  std::uint32_t app = 0;
  bool regular = false;  // a timer by its Trigger, or equal counts at equal distances
  std::vector<std::uint32_t> per_minute;
  Curve run_ms;
  double memory_mb = 0;      // of one instance, on average
  double memory_low_mb = 0;  // what is always there: the 1st percentile

  std::uint64_t calls() const;
};

struct Trace {
  std::vector<TraceFunction> functions;
  std::uint32_t apps = 0;
  std::uint32_t minutes = 0;
  std::uint64_t calls() const;
};

/// The other two files lie beside the first, named as in the data set (invocations_per_function_md ->
/// function_durations_ percentiles, app_memory_percentiles) or with _inv -> _run, _mem. Empty paths mean that.
struct TraceFiles {
  std::string invocations;
  std::string durations;
  std::string memory;
};

/// Errors: kNotFound and kInvalidArgument, with file, line and remedy; kTooLarge beyond kTraceBytes.
base::Result<Trace> read_trace(TraceFiles files);

/// The first minutes of a trace, from minute `first` (0 is the first of the day).
Trace excerpt(const Trace& trace, std::uint32_t first, std::uint32_t minutes);

}  // namespace ebb::sim
