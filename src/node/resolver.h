// The resolver that sandboxes ask: takes their questions from the sockets the launcher opened in the router's
// namespace, asks the host's resolvers, and has the launcher open what an allow-list's names stand for before it
// answers.
//
// 1. A sandbox is known by the address its question comes from; the router lets none speak with another's. 2. A
// function with an allow-list is told only of names on it (others are refused), and reaches the addresses of exactly
// the answer it is given. 3. Questions under way are bounded, for each sandbox and altogether; what is beyond is
// dropped, and asked again by the client. 4. A question goes out of a fresh port under a fresh random id, rewritten by
// us. Owned by Egress; lives on one core.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/result.h"
#include "io/task.h"
#include "model/egress_rule.h"
#include "node/dns_message.h"
#include "os/fd.h"
#include "sandbox/launcher_client.h"

namespace ebb::node {

/// What the sandbox behind an address may ask.
struct ResolverClient {
  std::uint32_t link = 0;
  std::vector<model::EgressRule> rules;  // of one with a list; empty: it may ask for every name
};

class Resolver {
 public:
  /// `upstream`: resolvers to ask, in this order. Errors: the sockets'.
  static base::Result<std::shared_ptr<Resolver>> start(io::asio::io_context& core,
                                                       std::shared_ptr<sandbox::LauncherClient> launcher,
                                                       std::vector<base::IpAddress> upstream, os::Fd udp, os::Fd tcp);

  // On its core.
  void add(const base::IpAddress& address, ResolverClient client);
  void remove(std::uint32_t link);

 private:
  using Udp = io::asio::ip::udp;
  using Tcp = io::asio::ip::tcp;

  Resolver(io::asio::io_context& core, std::shared_ptr<sandbox::LauncherClient> launcher,
           std::vector<base::IpAddress> upstream);
  static io::Task<> serve_udp(std::shared_ptr<Resolver> self);
  static io::Task<> serve_tcp(std::shared_ptr<Resolver> self);
  static io::Task<> answer_udp(std::shared_ptr<Resolver> self, std::string query, Udp::endpoint from);
  static io::Task<> answer_tcp(std::shared_ptr<Resolver> self, Tcp::socket client);
  /// The whole reply to a query; empty: none is given.
  io::Task<std::string> reply_to(std::string query, base::IpAddress from);
  io::Task<base::Result<std::string>> ask_upstream(DnsQuestion question, DnsAnswer& answer);
  io::Task<base::Result<std::string>> ask_udp(base::IpAddress resolver, std::string query);
  io::Task<base::Result<std::string>> ask_tcp(base::IpAddress resolver, std::string query);
  io::Task<base::Result<>> open_for(ResolverClient client, std::string name, DnsAnswer answer);

  io::asio::io_context& core_;
  const std::shared_ptr<sandbox::LauncherClient> launcher_;
  const std::vector<base::IpAddress> upstream_;
  Udp::socket udp_;
  Tcp::acceptor tcp_;
  std::map<base::IpAddress, ResolverClient> clients_;
  std::map<base::IpAddress, std::size_t> under_way_;
  std::size_t queries_ = 0;
  std::size_t connections_ = 0;
};

/// The `nameserver` lines of a resolv.conf, at most three.
std::vector<base::IpAddress> resolvers_in(std::string_view resolv_conf);

}  // namespace ebb::node
