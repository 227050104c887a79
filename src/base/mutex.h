// std::mutex with clang's thread-safety annotations, which std::mutex itself lacks.
#pragma once

#include <mutex>

#if defined(__clang__)
#define EBB_TSA(x) __attribute__((x))
#else
#define EBB_TSA(x)
#endif

#define EBB_GUARDED_BY(m) EBB_TSA(guarded_by(m))
#define EBB_REQUIRES(...) EBB_TSA(requires_capability(__VA_ARGS__))
#define EBB_EXCLUDES(...) EBB_TSA(locks_excluded(__VA_ARGS__))

namespace ebb::base {

class EBB_TSA(capability("mutex")) Mutex {
 public:
  void lock() EBB_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() EBB_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class EBB_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) EBB_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() EBB_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace ebb::base
