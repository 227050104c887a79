// What keeping the books costs: the processor time of one record on the request path, and time and memory to add up a
// long log. Prints JSON for bench/ledger.py.
//
//   ledger_bench DIRECTORY RECORDS
//
// Records are those of 1,000 functions in ten apps over 31 days, drawn by a fixed generator. A second thread flushes
// and prepares every 100 ms, as the daemon's timer does, so that neither is in the request path's time.
#include "meter/ledger.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "meter/usage_log.h"

namespace {

using namespace ebb;
using namespace std::chrono_literals;

constexpr base::WallTime kFirst{std::chrono::sys_days{std::chrono::year{2026} / 10 / 1}};
constexpr meter::Month kMonth{2026, 10};
constexpr std::uint64_t kStretch = 4'096;  // a quarter of a segment
constexpr std::size_t kStretchesInRound = 25;

double seconds_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

long peak_kb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

template <typename T>
T take(base::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "ledger_bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Random {
  std::uint64_t state = 88172645463325252;
  std::uint64_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

// Microseconds of this thread's processor time for a record, round by round.
std::vector<double> record(meter::UsageLog& log, std::uint64_t count) {
  std::vector<std::string> apps, names;
  for (std::size_t i = 0; i < 1'000; ++i) {
    apps.push_back("app-" + std::to_string(i % 10));
    names.push_back("function-" + std::to_string(i));
  }
  std::vector<model::UsageStart> functions(names.size());
  for (std::size_t i = 0; i < functions.size(); ++i) {
    functions[i].app = apps[i];
    functions[i].function = names[i];
    functions[i].version_number = 1;
    functions[i].memory_limit = {512ull << 20};
    functions[i].cpu_millis = 1'000;
  }
  std::vector<double> rounds;
  Random random;
  double spent = 0;
  for (std::uint64_t stretch = 1; stretch * kStretch <= count; ++stretch) {
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t i = 0; i < kStretch; ++i) {
      model::UsageStart& function = functions[random() % functions.size()];
      function.arrival = kFirst + 31 * 24h * ((stretch - 1) * kStretch + i) / count;
      meter::UsageSlot slot = take(log.open_record(function));
      log.close_record(std::move(slot), {.outcome = model::Outcome::kOk, .billed_ms = random() % 1'000});
    }
    spent += seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    take(log.prepare());
    take(log.flush());
    if (stretch % kStretchesInRound != 0) continue;
    rounds.push_back(spent * 1e6 / (kStretch * kStretchesInRound));
    spent = 0;
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ledger_bench DIRECTORY RECORDS\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  const std::uint64_t count =
      std::max<std::uint64_t>(kStretch * kStretchesInRound, std::strtoull(argv[2], nullptr, 10));
  auto log = take(meter::UsageLog::open(directory / "usage"));
  const std::vector<double> rounds = record(*log, count);
  const long written_kb = peak_kb();

  auto ledger = take(meter::Ledger::open(directory / "ledger.db"));
  const double wall = seconds_of(CLOCK_MONOTONIC);
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  std::size_t segments = 0;
  while (const std::size_t rolled = take(ledger->roll(*log))) segments += rolled;
  const double rolled_wall = seconds_of(CLOCK_MONOTONIC);
  const double rolled_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  meter::UsageSum by_month;
  take(ledger->add_to(by_month, kMonth, "", false));
  const double month_wall = seconds_of(CLOCK_MONOTONIC);
  meter::UsageSum by_day;
  take(ledger->add_to(by_day, kMonth, "", true));
  const double day_wall = seconds_of(CLOCK_MONOTONIC);
  const auto report = take(ledger->verify(*log));
  const double verified_wall = seconds_of(CLOCK_MONOTONIC);
  std::printf(
      "{\"records\": %llu, \"record_cpu_us\": {\"n\": %zu, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, "
      "\"segments\": %zu, \"roll_s\": %.2f, \"roll_cpu_s\": %.2f, \"month_ms\": %.2f, \"days_ms\": %.2f, "
      "\"verify_s\": %.2f, \"damage\": %zu, \"peak_written_kb\": %ld, \"peak_kb\": %ld, \"database_kb\": %llu}\n",
      static_cast<unsigned long long>(count), rounds.size(), rounds[rounds.size() / 2],
      rounds[rounds.size() * 99 / 100], rounds.back(), segments, rolled_wall - wall, rolled_cpu - cpu,
      (month_wall - rolled_wall) * 1e3, (day_wall - month_wall) * 1e3, verified_wall - day_wall, report.damage.size(),
      written_kb, peak_kb(),
      static_cast<unsigned long long>(std::filesystem::file_size(directory / "ledger.db") / 1024));
  return report.damage.empty() ? 0 : 1;
}
