#include "node/processor_pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace ebb::node {

namespace {

template <typename Number>
std::optional<Number> number_at(std::string_view text) {
  Number number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;
}

std::string_view read_into(std::array<char, 256>& room, const os::Fd& file) {
  const ssize_t count = ::pread(file.get(), room.data(), room.size(), 0);
  return {room.data(), static_cast<std::size_t>(std::max<ssize_t>(0, count))};
}

os::Fd open_to_read(const std::string& path) { return os::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

}  // namespace

std::optional<std::chrono::microseconds> stalled_total(std::string_view pressure) {
  constexpr std::string_view kTotal = " total=";
  if (!pressure.starts_with("some ")) return std::nullopt;
  pressure = pressure.substr(0, pressure.find('\n'));
  const std::size_t at = pressure.find(kTotal);
  if (at == std::string_view::npos) return std::nullopt;
  const auto total = number_at<std::int64_t>(pressure.substr(at + kTotal.size()));
  return total && *total >= 0 ? std::optional(std::chrono::microseconds(*total)) : std::nullopt;
}

// 0.20 0.18 0.12 1/80 11206
std::optional<std::uint32_t> runnable(std::string_view load) {
  const std::size_t slash = load.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::size_t space = load.rfind(' ', slash);
  return space == std::string_view::npos ? std::nullopt : number_at<std::uint32_t>(load.substr(space + 1));
}

ProcessorPressure::ProcessorPressure(sched::Processors& processors, const Files& files)
    : processors_(processors), pressure_(open_to_read(files.pressure)), load_(open_to_read(files.load)) {}

void ProcessorPressure::look(base::SteadyTime now) {
  if (now < next_.load(std::memory_order_relaxed) || !pressure_.valid()) return;
  base::MutexLock lock(mutex_);
  const base::Duration passed = now - at_;
  if (passed < kPause) return;  // another thread did
  next_.store(now + kPause, std::memory_order_relaxed);
  at_ = now;
  std::array<char, 256> room;
  const auto stalled = stalled_total(read_into(room, pressure_));
  if (!stalled) return;
  const double waited = static_cast<double>(base::Duration(*stalled - stalled_).count());
  stalled_ = *stalled;
  if (passed > kWindow || waited < kFull * static_cast<double>(passed.count())) return;
  const auto running = runnable(read_into(room, load_));
  if (!running || *running <= processors_.count) return;  // whoever asks is one of them
  processors_.full_until.store(now + kHolds, std::memory_order_relaxed);
}

}  // namespace ebb::node
