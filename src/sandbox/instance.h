// An instance as the daemon sees it: its channel, its output, and the two files that tell what it used.
//
// Made by node when it orders a fork, shared with whoever holds a lease; gone for good once `exited` is set. Its
// channel serves one lease at a time; several at once are served through the port of its program, or of its runtime.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/id.h"
#include "io/announcement.h"
#include "model/usage.h"
#include "os/usage_files.h"
#include "sandbox/channel.h"
#include "sandbox/last_words.h"
#include "sandbox/output_pipe.h"
#include "sandbox/program_port.h"
#include "sandbox/shares.h"
#include "wire/launcher_protocol.h"

namespace ebb::sandbox {

struct Instance {
  Instance(base::InstanceId instance, os::Fd socket) : id(instance), channel(std::move(socket)) {}
  /// With a new channel, whose other end, to be sent to the launcher, is given out through `peer`. Errors: that of
  /// socketpair.
  static base::Result<std::shared_ptr<Instance>> make(base::InstanceId instance, os::Fd* peer);

  const base::InstanceId id;
  Channel channel;
  std::shared_ptr<OutputPipe> out;
  std::shared_ptr<OutputPipe> err;
  const std::shared_ptr<LastWords> last_words = std::make_shared<LastWords>();  // until it is ready
  model::Rung rung = model::Rung::kFork;
  base::SteadyTime ordered_at{};     // when the fork was ordered
  base::SteadyTime ready_at{};       // when it said kReady
  base::Duration init{};             // user init inside the instance; zero when the zygote had run it
  std::atomic<bool> thawed = false;  // the lease that begins found it frozen
  std::atomic<bool> spare = false;   // the lease that begins found it started ahead, unused
  std::atomic<bool> leased_before = false;
  base::Bytes counted;                   // its memory as last looked at; touched by the node's tick only
  std::shared_ptr<const void> source;    // kept while it is there: what it was forked from; set when it is ordered
  std::shared_ptr<ProgramPort> program;  // of a web server, which HTTP is spoken to. Set before it is ready
  std::shared_ptr<ProgramPort> several;  // frames, over a connection for each call. Likewise
  Shares shares;
  io::Announcement<wire::Exited> exited;  // set by the launcher's event

  /// Once, when the launcher has made it. Until then it has used nothing, whoever asks from whatever thread.
  void measure_by(os::UsageFiles files) {
    usage_ = std::move(files);
    measured_.store(true, std::memory_order_release);
  }
  base::Duration cpu() const {
    if (!measured_.load(std::memory_order_acquire)) return {};
    const auto used = os::read_cpu_ns(usage_.cpu);
    return std::chrono::nanoseconds(used ? *used : 0);
  }
  base::Bytes memory_peak() const {
    if (!measured_.load(std::memory_order_acquire)) return {};
    const auto peak = os::read_memory_peak(usage_.memory_peak);
    return base::Bytes{peak ? *peak : 0};
  }
  /// As read within the last Shares::kReadEvery, or now: for one of several calls, whose peak it is in common.
  base::Bytes recent_memory_peak(base::SteadyTime now) {
    base::SteadyTime read_at = peak_read_at_.load(std::memory_order_acquire);
    if (now - read_at < Shares::kReadEvery) return base::Bytes{recent_peak_.load(std::memory_order_relaxed)};
    const base::Bytes peak = memory_peak();
    recent_peak_.store(peak.count, std::memory_order_relaxed);
    peak_read_at_.store(now, std::memory_order_release);
    return peak;
  }
  /// Where the kernel cannot begin a new peak, it stays the highest so far.
  void begin_memory_peak() {
    (void)os::reset_memory_peak(usage_.memory_peak);
    peak_read_at_.store({}, std::memory_order_release);
  }
  /// What is there is read, and an unfinished line is one.
  void finish_output() {
    if (out) out->finish();
    if (err) err->finish();
  }
  void close_output() {
    if (out) out->close();
    if (err) err->close();
  }

 private:
  os::UsageFiles usage_;
  std::atomic<bool> measured_ = false;
  std::atomic<base::SteadyTime> peak_read_at_{};
  std::atomic<std::uint64_t> recent_peak_ = 0;
};

}  // namespace ebb::sandbox
