#include "io/offload.h"

#include <pthread.h>

#include "base/check.h"

namespace ebb::io {

Pool::Pool(unsigned threads, std::size_t queue_max) : queue_max_(queue_max) {
  EBB_CHECK(threads >= 1);
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Pool::submit(std::unique_ptr<Job>& job) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= queue_max_) return false;
    queue_.push_back(std::move(job));
  }
  changed_.notify_one();
  return true;
}

std::size_t Pool::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Pool::work() {
  pthread_setname_np(pthread_self(), "pool");
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job->run();
  }
}

namespace detail {

base::Error pool_full(const std::string& name) {
  return base::unavailable("too much work of this kind is waiting to start " + name + ", try again shortly");
}

base::Error job_cancelled(const std::string& name) {
  return base::Error{.code = base::Code::kCancelled, .message = "nobody waits for " + name + " any more"};
}

base::Error job_threw(const std::string& name, const char* what) {
  return base::internal("job " + name + " threw: " + what);
}

}  // namespace detail
}  // namespace ebb::io
