#include "node/processor_pressure.h"

#include <fcntl.h>

#include <array>

#include "os/file.h"

namespace ebb::node {

namespace {

os::Fd open_to_read(const std::string& path) { return os::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

}  // namespace

std::optional<std::chrono::microseconds> stalled_total(std::string_view pressure) {
  constexpr std::string_view kTotal = " total=";
  if (!pressure.starts_with("some ")) return std::nullopt;
  pressure = pressure.substr(0, pressure.find('\n'));
  const std::size_t at = pressure.find(kTotal);
  if (at == std::string_view::npos) return std::nullopt;
  const auto total = os::number_in(pressure.substr(at + kTotal.size()), "");
  return total ? std::optional(std::chrono::microseconds(*total)) : std::nullopt;
}

// 0.20 0.18 0.12 1/80 11206
std::optional<std::uint64_t> runnable(std::string_view load) {
  const std::size_t slash = load.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::size_t space = load.rfind(' ', slash);
  if (space == std::string_view::npos) return std::nullopt;
  const auto count = os::number_in(load.substr(space + 1), "");
  return count ? std::optional(*count) : std::nullopt;
}

ProcessorPressure::ProcessorPressure(sched::Processors& processors, const Files& files)
    : processors_(processors), pressure_(open_to_read(files.pressure)), load_(open_to_read(files.load)) {}

void ProcessorPressure::look(base::SteadyTime now) {
  if (now - at_.load(std::memory_order_relaxed) < sched::Processors::kPause || !pressure_.valid()) return;
  base::MutexLock lock(mutex_);
  const base::Duration passed = now - at_.load(std::memory_order_relaxed);
  if (passed < sched::Processors::kPause) return;  // another thread did
  at_.store(now, std::memory_order_relaxed);
  std::array<char, 256> room;
  const auto pressure = os::read_start(pressure_, room);
  const auto stalled = pressure ? stalled_total(*pressure) : std::nullopt;
  if (!stalled) return;
  const base::Duration waited = *stalled - stalled_;
  stalled_ = *stalled;
  if (!sched::Processors::waited_much(passed, waited)) return;
  const auto load = os::read_start(load_, room);
  const auto running = load ? runnable(*load) : std::nullopt;
  if (running) processors_.seen(static_cast<double>(*running), now);  // whoever asks is one of them
}

}  // namespace ebb::node
