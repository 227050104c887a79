#include "node/services.h"

#include "node/version_runner.h"

namespace ebb::node {

void Directory::add(wire::Subject subject, std::uint64_t id, std::weak_ptr<VersionRunner> runner) {
  base::MutexLock lock(mutex_);
  table_of(subject)[id] = std::move(runner);
}

void Directory::remove(wire::Subject subject, std::uint64_t id) {
  base::MutexLock lock(mutex_);
  table_of(subject).erase(id);
}

std::shared_ptr<VersionRunner> Directory::find(wire::Subject subject, std::uint64_t id) {
  base::MutexLock lock(mutex_);
  const Table& table = table_of(subject);
  const auto at = table.find(id);
  return at == table.end() ? nullptr : at->second.lock();
}

}  // namespace ebb::node
