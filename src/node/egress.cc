#include "node/egress.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/limits.h"
#include "base/log.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kOpenLimit = 30s;
constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr std::size_t kResolvConfBytes = 64 * 1024;

std::vector<base::IpAddress> upstream_of(const model::Config& config) {
  if (!config.egress_resolvers.empty()) return config.egress_resolvers;
  std::ifstream file(kResolvConf, std::ios::binary);
  std::string text(kResolvConfBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return resolvers_in(text);
}

bool lies_in(const base::IpRange& range, const std::vector<base::IpRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const base::IpRange& one) { return one.contains(range); });
}

}  // namespace

base::Result<> check_reachable(const model::FunctionSpec& spec, const model::Config& config) {
  for (const model::EgressRule& rule : spec.egress) {
    if (!rule.range) continue;
    const std::string what = "functions." + spec.name + ".network: " + to_string(rule);
    if (lies_in(*rule.range, model::never_ranges())) {
      return base::invalid_argument(what +
                                    " is an address that no function reaches (loopback, link-local, metadata, "
                                    "multicast): take it out");
    }
    if (lies_in(*rule.range, model::private_ranges()) && !lies_in(*rule.range, config.egress_allow_private)) {
      return base::invalid_argument(what +
                                    " is private: this node's configuration has to permit it with "
                                    "egress_allow_private");
    }
  }
  return {};
}

void describe_reach(const model::FunctionSpec& spec, wire::MakeVersion& order) {
  if (spec.network != model::Network::kEgress) return;
  order.reach = spec.egress.empty() ? wire::Reach::kPublic : wire::Reach::kListed;
  for (const model::EgressRule& rule : spec.egress) {
    if (rule.range) order.ranges.push_back({.range = *rule.range, .port = rule.port});
  }
}

io::Task<base::Result<>> Egress::open() {
  {
    base::MutexLock lock(mutex_);
    if (resolver_) co_return base::Result<>();
  }
  std::string nothing;
  std::vector<os::Fd> none;
  auto answer = co_await services_.launcher->ask(wire::LauncherType::kOpenEgress, std::move(nothing), std::move(none),
                                                 kOpenLimit, nullptr);
  if (!answer) co_return answer.error();
  co_return start_resolver(std::move(answer->fds));
}

base::Result<> Egress::start_resolver(std::vector<os::Fd> sockets) {
  base::MutexLock lock(mutex_);
  if (resolver_) return {};  // another version was quicker
  if (sockets.size() != 2) return base::internal("the launcher sent no sockets for the resolver");
  const std::vector<base::IpAddress> upstream = upstream_of(services_.config);
  if (upstream.empty()) {
    base::log(base::LogLevel::kWarning, "no_resolver",
              {{"reason", "no nameserver in /etc/resolv.conf: functions look no name up, set egress_resolvers"}});
  }
  EBB_TRY(resolver_, Resolver::start(services_.cores.context(0), services_.launcher, upstream, std::move(sockets[0]),
                                     std::move(sockets[1])));
  return {};
}

void Egress::announce(base::VersionId version, const model::FunctionSpec& spec) {
  if (spec.network != model::Network::kEgress) return;
  base::MutexLock lock(mutex_);
  versions_[version] = {.link = 0, .rules = spec.egress};
}

void Egress::forget(base::VersionId version) {
  base::MutexLock lock(mutex_);
  versions_.erase(version);
}

void Egress::linked(const wire::Linked& event) {
  base::MutexLock lock(mutex_);
  const auto found = versions_.find(event.version);
  if (!resolver_ || found == versions_.end()) return;
  ResolverClient client = found->second;
  client.link = event.link;
  resolver_->add(event.address, std::move(client));
}

void Egress::unlinked(const wire::Unlinked& event) {
  base::MutexLock lock(mutex_);
  if (resolver_) resolver_->remove(event.link);
}

}  // namespace ebb::node
