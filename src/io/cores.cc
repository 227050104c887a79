#include "io/cores.h"

#include <pthread.h>
#include <sched.h>

#include <exception>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "io/spinning.h"

namespace ebb::io {
namespace {

thread_local unsigned current_core = Cores::kNone;

// What a prompt thread does it does before everybody else, so it looks for nothing (launcher/prompt_cores.h).
bool is_prompt() { return (::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_RR; }

// Whether something came up within Spinning::kLongest; it is done then.
bool spin(asio::io_context& context, Spinning& spinning) {
  const base::SteadyTime began = base::steady_now();
  base::SteadyTime now = began;
  bool found = false;
  do {
    found = context.poll() > 0;
    now = base::steady_now();
  } while (!found && now - began < Spinning::kLongest && !context.stopped());
  if (spinning.spun(found, now) && is_prompt()) spinning.rest(now);
  return found;
}

// As context.run(), but that it may spin before it sleeps.
void work(asio::io_context& context) {
  Spinning spinning;
  while (!context.stopped()) {
    if (spinning.on() && spin(context, spinning)) continue;
    context.run_one();
    if (spinning.worked(base::steady_now) && is_prompt()) spinning.rest(base::steady_now());
  }
}

}  // namespace

Cores::Cores(unsigned count) {
  EBB_CHECK(count >= 1);
  for (unsigned i = 0; i < count; ++i) cores_.push_back(std::make_unique<Core>());
}

asio::io_context& Cores::context(unsigned core) {
  EBB_CHECK(core < count());
  return cores_[core]->context;
}

void Cores::run() {
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < count(); ++i) {
    threads.emplace_back([this, i] {
      pthread_setname_np(pthread_self(), ("core-" + std::to_string(i)).c_str());
      serve(i);
    });
  }
  serve(0);
  for (std::thread& thread : threads) thread.join();
}

void Cores::stop() {
  for (auto& core : cores_) core->context.stop();
}

unsigned Cores::current() { return current_core; }

void Cores::serve(unsigned index) {
  const unsigned outer = current_core;
  current_core = index;
  while (!cores_[index]->context.stopped()) {
    // A plain handler that throws (bad_alloc) costs its own work, not the core.
    try {
      work(cores_[index]->context);
    } catch (const std::exception& error) {
      base::log(base::LogLevel::kError, "core_handler_failed", {{"core", index}, {"error", error.what()}});
    }
  }
  current_core = outer;
}

}  // namespace ebb::io
