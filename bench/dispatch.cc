// What the scheduler itself costs per warm invocation: ./dev bench dispatch [--check], or build/release/dispatch_bench.
//
// Every function has one idle instance; calls come to functions at random, are leased it and give it back: the events a
// warm invocation causes in Dispatcher and Residency, with the policy the simulator runs with. Counted is the processor
// time of the thread; the allocations are counted too, and any makes the exit status 1: the warm path must not
// allocate. --check judges the time: less than a microsecond a call, and of ten thousand functions at most three times
// what it is of one, whose data the caches hold.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <vector>

#include "sched/dispatcher.h"
#include "sched/keep_alive_worth.h"
#include "sched/residency.h"

namespace {

std::atomic<std::uint64_t> allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace ebb;
using namespace std::chrono_literals;

constexpr std::uint64_t kCalls = 1'000'000;
constexpr std::size_t kNew = 1'000;  // functions without history, for kHistory calls each
constexpr int kRounds = 3;
constexpr int kHistory = 300;  // gaps a function has behind it: plans are made often only while it is new
constexpr double kNsMost = 1000;
constexpr double kTimesMost = 3;

struct Function {
  Function(std::atomic<std::uint64_t>* next, sched::Processors* processors)
      : dispatcher({.instances_min = 0, .instances_max = 20, .idle_timeout = 24h, .queue_max = 100, .starting_max = 32},
                   next, processors),
        residency(std::make_unique<sched::WorthKeepAlive>(sched::WorthOptions{.price = 200})) {}
  sched::Dispatcher dispatcher;
  sched::Residency residency;
};

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Result {
  double ns = 0;
  std::uint64_t allocated = 0;
};

Result measure(std::size_t count, int history, std::uint64_t calls) {
  std::atomic<std::uint64_t> next_instance = 1;
  sched::Processors processors(2);
  std::vector<std::unique_ptr<Function>> functions;
  sched::Actions actions;
  actions.reserve(64);
  base::SteadyTime now{1h};
  for (std::size_t i = 0; i < count; ++i) {
    functions.push_back(std::make_unique<Function>(&next_instance, &processors));
    sched::Dispatcher& dispatcher = functions.back()->dispatcher;
    dispatcher.zygote_ready(sched::ZygoteState::kReady, now, actions);
    dispatcher.call_arrived(sched::CallId{0}, now, actions);
    const base::InstanceId id = std::get<sched::StartInstance>(actions.back()).instance;
    dispatcher.instance_ready(id, now, actions);
    dispatcher.call_finished(id, now, actions);
    for (int gap = 0; gap < history; ++gap) functions.back()->residency.policy().gap_ended(100us * count);
    functions.back()->residency.call_arrived(now);
    functions.back()->residency.became_idle(now);
    actions.clear();
  }
  const std::uint64_t before = allocations;
  const double start = thread_seconds();
  std::uint64_t random = 88172645463325252;
  for (std::uint64_t call = 1; call <= calls; ++call) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    Function& function = *functions[random % count];
    now += 100us;
    function.residency.call_arrived(now);
    function.dispatcher.call_arrived(sched::CallId{call}, now, actions);
    const auto lease = std::get<sched::LeaseTo>(actions.front());
    actions.clear();
    function.dispatcher.call_used(50us, 100us, now);
    function.dispatcher.call_finished(lease.instance, now, actions);
    function.residency.became_idle(now);
  }
  return {.ns = (thread_seconds() - start) * 1e9 / static_cast<double>(calls), .allocated = allocations - before};
}

// One line for a bar; whether it is met.
bool judge(const char* what, double value, double limit) {
  std::printf("%s %.2f, limit %.0f: %s\n", what, value, limit, value < limit ? "met" : "MISSED");
  return value < limit;
}

}  // namespace

int main(int count_of_words, char** words) {
  const bool check = count_of_words > 1 && std::strcmp(words[1], "--check") == 0;
  std::uint64_t allocated = 0;
  double of_one = 0;
  double most = 0;
  double last = 0;
  std::printf("%10s %14s %14s %12s\n", "FUNCTIONS", "MEDIAN ns/call", "BEST ns/call", "ALLOCATIONS");
  for (const std::size_t count : {1U, 10U, 100U, 1'000U, 10'000U}) {
    std::vector<double> rounds;
    std::uint64_t of_count = 0;
    for (int round = 0; round < kRounds; ++round) {
      const Result result = measure(count, kHistory, kCalls);
      rounds.push_back(result.ns);
      of_count += result.allocated;
    }
    std::sort(rounds.begin(), rounds.end());
    std::printf("%10zu %14.0f %14.0f %12llu\n", count, rounds[kRounds / 2], rounds[0],
                static_cast<unsigned long long>(of_count));
    allocated += of_count;
    last = rounds[kRounds / 2];
    if (of_one == 0) of_one = last;
    most = std::max(most, last);
  }
  std::printf("%10s %14.0f   their first %d calls, a plan made anew for most of them\n", "1000 new",
              measure(kNew, 0, kNew * kHistory).ns, kHistory);
  bool met = allocated == 0;
  if (check) met &= judge("ns a call of functions with a history, the most", most, kNsMost);
  if (check) met &= judge("10,000 functions, times one", last / of_one, kTimesMost);
  return met ? 0 : 1;
}
