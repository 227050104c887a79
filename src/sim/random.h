// The simulator's source of chance: SplitMix64, the same numbers from the same seed on every machine and with every
// standard library (the library's distributions differ between implementations). Streams for parts of a run are split
// off by a number of their own, so that one more draw in one place moves nothing elsewhere.
#pragma once

#include <cstdint>

namespace ebb::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// A stream of its own for the same seed.
  Random split(std::uint64_t stream) const { return Random(Random(state_ ^ (stream * 0xD1342543DE82EF95)).next()); }

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  /// In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// In [0, n), n > 0.
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  bool chance(double probability) { return probability > 0 && uniform() < probability; }

 private:
  std::uint64_t state_;
};

}  // namespace ebb::sim
