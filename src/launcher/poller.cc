#include "launcher/poller.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace ebb::launcher {

base::Result<Poller> Poller::open() {
  os::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return base::os_error("epoll_create1", errno);
  return Poller(std::move(epoll));
}

base::Result<> Poller::watch(int fd, Handler readable) {
  const std::uint32_t generation = next_generation_++;
  epoll_event event{.events = EPOLLIN, .data = {}};
  event.data.u64 = std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return base::os_error("watch a descriptor", errno);
  watches_[fd] = Watch{.generation = generation, .handler = std::make_shared<Handler>(std::move(readable))};
  return {};
}

void Poller::forget(int fd) {
  if (watches_.erase(fd) == 0) return;
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr));
}

Poller::Timer Poller::after(std::chrono::nanoseconds delay, Handler due) {
  const base::SteadyTime when = base::steady_now() + delay;
  const std::uint64_t id = next_timer_++;
  timers_.emplace(Due(when, id), std::move(due));
  due_of_.emplace(id, when);
  return Timer{id};
}

void Poller::cancel(Timer& timer) {
  const auto id = static_cast<std::uint64_t>(std::exchange(timer, Timer::kNone));
  const auto found = due_of_.find(id);
  if (found == due_of_.end()) return;
  timers_.erase(Due(found->second, id));
  due_of_.erase(found);
}

int Poller::wait_milliseconds() const {
  if (!idle_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - base::steady_now();
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000));
}

void Poller::run_due_timers() {
  const base::SteadyTime now = base::steady_now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    due_of_.erase(node.key().second);
    node.mapped()();
  }
}

void Poller::turn() {
  std::array<epoll_event, 64> events;
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_milliseconds());
  for (int i = 0; i < ready; ++i) {
    const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
    const auto found = watches_.find(static_cast<int>(tag & 0xffffffff));
    if (found == watches_.end() || found->second.generation != tag >> 32) continue;
    const std::shared_ptr<Handler> handler = found->second.handler;  // outlives a forget() from within
    (*handler)();
  }
  run_due_timers();
  if (ready == 0 && !idle_.empty()) {
    Handler work = std::move(idle_.front());
    idle_.pop_front();
    work();
  }
}

}  // namespace ebb::launcher
