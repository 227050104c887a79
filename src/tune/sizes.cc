#include "tune/sizes.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/limits.h"

namespace ebb::tune {
namespace {

constexpr double kRoom = 1.25;
constexpr std::uint64_t kStep = 16ull << 20;

std::vector<std::string> entries_of(const std::string& text) {
  std::vector<std::string> entries;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    entries.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return entries;
}

}  // namespace

std::size_t Measured::failed() const {
  return static_cast<std::size_t>(
      std::count_if(samples.begin(), samples.end(), [](const Sample& one) { return !one.ok; }));
}

double Measured::handler_ms(double quantile) const {
  std::vector<double> times;
  for (const Sample& one : samples) {
    if (one.ok) times.push_back(one.handler_ms);
  }
  if (times.empty()) return 0;
  std::sort(times.begin(), times.end());
  const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(times.size())));
  return times[std::clamp<std::size_t>(rank, 1, times.size()) - 1];
}

double Measured::cu_per_call() const {
  double sum = 0;
  for (const Sample& one : samples) sum += one.cu;
  return samples.empty() ? 0 : sum / static_cast<double>(samples.size());
}

double Measured::peak_mb() const {
  double most = 0;
  for (const Sample& one : samples) most = std::max(most, one.peak_mb);
  return most;
}

base::Result<std::vector<base::Bytes>> parse_memories(const std::string& text) {
  std::vector<base::Bytes> memories;
  for (const std::string& entry : entries_of(text)) {
    const auto bytes = base::parse_bytes(entry);
    if (!bytes) return base::invalid_argument("--memory: " + bytes.error().message);
    memories.push_back(*bytes);
  }
  return memories;
}

base::Result<std::vector<std::uint32_t>> parse_cpus(const std::string& text) {
  std::vector<std::uint32_t> cpus;
  for (const std::string& entry : entries_of(text)) {
    double cores = 0;
    const auto [end, failed] = std::from_chars(entry.data(), entry.data() + entry.size(), cores);
    const double millis = std::round(cores * 1000);
    if (failed != std::errc() || end != entry.data() + entry.size() || millis < limits::kFunctionCpuMillisMin ||
        millis > limits::kFunctionCpuMillisMax) {
      return base::invalid_argument("--cpu: '" + entry +
                                    "' is no number of cores from 0.05 to 64, write them like 0.25,1,2");
    }
    cpus.push_back(static_cast<std::uint32_t>(millis));
  }
  return cpus;
}

std::vector<std::uint32_t> usual_cpus(double processors, std::uint32_t current) {
  std::vector<std::uint32_t> cpus{current};
  for (std::uint32_t millis = 250;
       millis <= 1000 * std::max(1.0, processors) && millis <= limits::kFunctionCpuMillisMax; millis *= 2) {
    cpus.push_back(millis);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

base::Bytes enough_memory(double peak_mb) {
  const auto bytes = static_cast<std::uint64_t>(std::max(0.0, peak_mb) * kRoom * (1 << 20));
  const std::uint64_t rounded = (bytes + kStep - 1) / kStep * kStep;
  return base::Bytes{
      std::clamp<std::uint64_t>(rounded, limits::kFunctionMemoryBytesMin, limits::kFunctionMemoryBytesMax)};
}

std::string cpu_text(std::uint32_t cpu_millis) {
  std::string text = std::to_string(cpu_millis / 1000);
  if (cpu_millis % 1000 == 0) return text;
  std::string thousandths = std::to_string(1000 + cpu_millis % 1000).substr(1);
  while (thousandths.back() == '0') thousandths.pop_back();
  return text + "." + thousandths;
}

}  // namespace ebb::tune
