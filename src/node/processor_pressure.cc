#include "node/processor_pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>

namespace ebb::node {

std::optional<std::chrono::microseconds> stalled_total(std::string_view pressure) {
  constexpr std::string_view kSome = "some ";
  constexpr std::string_view kTotal = " total=";
  if (!pressure.starts_with(kSome)) return std::nullopt;
  pressure = pressure.substr(0, pressure.find('\n'));
  const std::size_t at = pressure.find(kTotal);
  if (at == std::string_view::npos) return std::nullopt;
  pressure.remove_prefix(at + kTotal.size());
  std::int64_t total = 0;
  const auto parsed = std::from_chars(pressure.data(), pressure.data() + pressure.size(), total);
  if (parsed.ec != std::errc() || total < 0) return std::nullopt;
  return std::chrono::microseconds(total);
}

ProcessorPressure::ProcessorPressure(sched::Processors& processors, const std::string& file)
    : processors_(processors), file_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}

void ProcessorPressure::look(base::SteadyTime now) {
  if (!file_.valid()) return;
  base::MutexLock lock(mutex_);
  const base::Duration passed = now - at_;
  if (passed < kPause) return;
  std::array<char, 256> text;
  const ssize_t count = ::pread(file_.get(), text.data(), text.size(), 0);
  const auto stalled = count > 0 ? stalled_total({text.data(), static_cast<std::size_t>(count)}) : std::nullopt;
  if (!stalled) return processors_.full.store(false, std::memory_order_relaxed);
  const double waited = static_cast<double>(base::Duration(*stalled - stalled_).count());
  const bool full = passed <= kWindow && waited >= kFull * static_cast<double>(passed.count());
  processors_.full.store(full, std::memory_order_relaxed);
  at_ = now;
  stalled_ = *stalled;
}

}  // namespace ebb::node
