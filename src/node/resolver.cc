#include "node/resolver.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/limits.h"
#include "base/log.h"
#include "io/deadline.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint16_t kPort = 53;
constexpr int kLinkLooks = 20;  // for a sandbox that the launcher has just told of
constexpr auto kLinkLookAgain = 10ms;
constexpr auto kOrderLimit = 5s;

asio::ip::address address_of(const base::IpAddress& address) {
  if (address.family == base::IpFamily::kV4) {
    asio::ip::address_v4::bytes_type bytes{};
    std::copy_n(address.bytes.begin(), 4, bytes.begin());
    return asio::ip::address_v4(bytes);
  }
  return asio::ip::address_v6(address.bytes);
}

base::IpAddress address_of(const asio::ip::address& address) {
  base::IpAddress value;
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
  } else {
    value.family = base::IpFamily::kV6;
    value.bytes = address.to_v6().to_bytes();
  }
  return value;
}

std::uint16_t random_id() {
  std::uint16_t id = 0;
  static_cast<void>(::getrandom(&id, sizeof id, 0));
  return id;
}

base::Error failed(const boost::system::error_code& error) {
  return base::unavailable("ask a resolver: " + error.message());
}

}  // namespace

std::vector<base::IpAddress> resolvers_in(std::string_view resolv_conf) {
  std::vector<base::IpAddress> found;
  while (!resolv_conf.empty() && found.size() < 3) {
    std::string_view line = resolv_conf.substr(0, resolv_conf.find('\n'));
    resolv_conf.remove_prefix(std::min(line.size() + 1, resolv_conf.size()));
    if (!line.starts_with("nameserver")) continue;
    line.remove_prefix(std::min(line.find_first_of(" \t"), line.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    line = line.substr(0, line.find_first_of(" \t\r#;%"));
    if (const auto address = base::parse_ip(line)) found.push_back(*address);
  }
  return found;
}

Resolver::Resolver(asio::io_context& core, std::shared_ptr<sandbox::LauncherClient> launcher,
                   std::vector<base::IpAddress> upstream)
    : core_(core), launcher_(std::move(launcher)), upstream_(std::move(upstream)), udp_(core), tcp_(core) {}

base::Result<std::shared_ptr<Resolver>> Resolver::start(asio::io_context& core,
                                                        std::shared_ptr<sandbox::LauncherClient> launcher,
                                                        std::vector<base::IpAddress> upstream, os::Fd udp, os::Fd tcp) {
  std::shared_ptr<Resolver> resolver(new Resolver(core, std::move(launcher), std::move(upstream)));
  boost::system::error_code error;
  resolver->udp_.assign(Udp::v4(), udp.get(), error);
  if (!error) {
    static_cast<void>(udp.release());
    resolver->tcp_.assign(Tcp::v4(), tcp.get(), error);
  }
  if (error) return base::internal("the resolver's sockets: " + error.message());
  static_cast<void>(tcp.release());
  io::spawn(core, "resolver udp", serve_udp(resolver));
  io::spawn(core, "resolver tcp", serve_tcp(resolver));
  return resolver;
}

void Resolver::add(const base::IpAddress& address, ResolverClient client) { clients_[address] = std::move(client); }

void Resolver::remove(std::uint32_t link) {
  std::erase_if(clients_, [&](const auto& entry) { return entry.second.link == link; });
}

io::Task<> Resolver::serve_udp(std::shared_ptr<Resolver> self) {
  std::string buffer;
  for (;;) {
    buffer.resize(limits::kDnsMessageBytes);
    Udp::endpoint from;
    const auto [error, size] = co_await self->udp_.async_receive_from(asio::buffer(buffer), from, kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) continue;  // of an earlier answer that could not be delivered
    if (self->queries_ >= limits::kDnsQueries) continue;
    std::size_t& own = self->under_way_[address_of(from.address())];
    if (own >= limits::kDnsQueriesPerSandbox) continue;
    ++own;
    ++self->queries_;
    std::string query = buffer.substr(0, size);
    io::spawn(self->core_, "resolver answer", answer_udp(self, std::move(query), from));
  }
}

io::Task<> Resolver::answer_udp(std::shared_ptr<Resolver> self, std::string query, Udp::endpoint from) {
  const base::IpAddress address = address_of(from.address());
  std::string reply = co_await self->reply_to(query, address);
  const auto own = self->under_way_.find(address);
  if (--own->second == 0) self->under_way_.erase(own);
  --self->queries_;
  if (reply.empty()) co_return;
  const auto question = parse_dns_query(query);
  if (question && reply.size() > question->udp_bytes) reply = dns_truncated(query);
  co_await self->udp_.async_send_to(asio::buffer(reply), from, kTuple);
}

io::Task<> Resolver::serve_tcp(std::shared_ptr<Resolver> self) {
  for (;;) {
    Tcp::socket client(self->core_);
    const auto [error] = co_await self->tcp_.async_accept(client, kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      co_await io::sleep_for(10ms);  // out of descriptors: not in a circle
      continue;
    }
    if (self->connections_ >= limits::kDnsConnections) continue;
    ++self->connections_;
    io::spawn(self->core_, "resolver connection", answer_tcp(self, std::move(client)));
  }
}

namespace {

// A message over TCP has its length in front.
io::Task<base::Result<std::string>> read_framed(asio::ip::tcp::socket& socket) {
  std::array<unsigned char, 2> length{};
  const auto [error, got] = co_await asio::async_read(socket, asio::buffer(length), kTuple);
  if (error) co_return failed(error);
  std::string message(static_cast<std::size_t>(length[0]) << 8 | length[1], '\0');
  const auto [broken, size] = co_await asio::async_read(socket, asio::buffer(message), kTuple);
  if (broken) co_return failed(broken);
  co_return message;
}

io::Task<base::Result<>> write_framed(asio::ip::tcp::socket& socket, std::string message) {
  std::string framed;
  framed += static_cast<char>(message.size() >> 8);
  framed += static_cast<char>(message.size() & 0xff);
  framed += message;
  const auto [error, size] = co_await asio::async_write(socket, asio::buffer(framed), kTuple);
  if (error) co_return failed(error);
  co_return base::Result<>();
}

}  // namespace

io::Task<> Resolver::answer_tcp(std::shared_ptr<Resolver> self, Tcp::socket client) {
  boost::system::error_code unknown;
  const auto peer = client.remote_endpoint(unknown);
  while (!unknown) {
    const base::SteadyTime idle_until = base::steady_now() + limits::kDnsIdleTimeout;
    const auto query = co_await io::with_deadline(read_framed(client), idle_until, "a question");
    if (!query || query->size() > limits::kDnsMessageBytes) break;
    const base::IpAddress from = address_of(peer.address());
    std::string reply = co_await self->reply_to(*query, from);
    if (reply.empty()) break;
    const base::SteadyTime sent_until = base::steady_now() + limits::kDnsIdleTimeout;
    const auto sent = co_await io::with_deadline(write_framed(client, std::move(reply)), sent_until, "an answer");
    if (!sent) break;
  }
  --self->connections_;
}

io::Task<std::string> Resolver::reply_to(std::string query, base::IpAddress from) {
  const auto question = parse_dns_query(query);
  if (!question) {
    // Without a whole header there is nobody to tell; a response is none of our business.
    const bool asked = query.size() >= 12 && (static_cast<unsigned char>(query[2]) & 0x80) == 0;
    co_return asked ? dns_error(query, DnsStatus::kFormatError) : std::string();
  }
  // The launcher's word of a new sandbox and its first question come over two sockets.
  auto found = clients_.find(from);
  for (int look = 0; found == clients_.end() && look < kLinkLooks; ++look) {
    co_await io::sleep_for(kLinkLookAgain);
    found = clients_.find(from);
  }
  if (found == clients_.end()) co_return std::string();
  const ResolverClient client = found->second;
  const auto covers = [&](const model::EgressRule& rule) { return rule.covers_name(question->name); };
  if (!client.rules.empty() && std::none_of(client.rules.begin(), client.rules.end(), covers)) {
    co_return dns_error(query, DnsStatus::kRefused);
  }
  DnsAnswer answer;
  const auto message = co_await ask_upstream(*question, answer);
  if (!message) co_return dns_error(query, DnsStatus::kServerFailure);
  if (!client.rules.empty() && !answer.addresses.empty()) {
    const auto opened = co_await open_for(client, question->name, answer);
    if (!opened) {
      base::log(base::LogLevel::kWarning, "address_not_allowed",
                {{"name", question->name}, {"error", opened.error().message}});
      co_return dns_error(query, DnsStatus::kServerFailure);
    }
  }
  co_return with_dns_id(*message, question->id);
}

io::Task<base::Result<>> Resolver::open_for(ResolverClient client, std::string name, DnsAnswer answer) {
  wire::AllowAddresses wanted{.link = client.link, .seconds = answer.seconds};
  for (const base::IpAddress& address : answer.addresses) {
    const base::IpRange range = base::single(address);
    for (const model::EgressRule& rule : client.rules) {
      if (!rule.covers_name(name)) continue;
      if (wanted.targets.size() < limits::kEgressAddresses) {
        wanted.targets.push_back({.range = range, .port = rule.port});
      }
    }
  }
  std::string order = encode(wanted);
  std::vector<os::Fd> none;
  const auto opened = co_await launcher_->ask(wire::LauncherType::kAllowAddresses, std::move(order), std::move(none),
                                              kOrderLimit, nullptr);
  if (!opened) co_return opened.error();
  co_return base::Result<>();
}

io::Task<base::Result<std::string>> Resolver::ask_upstream(DnsQuestion question, DnsAnswer& answer) {
  base::Error last = base::unavailable("no resolver is configured");
  for (const base::IpAddress& resolver : upstream_) {
    const std::uint16_t id = random_id();
    const std::string query = encode_dns_query(question, id);
    for (const bool over_tcp : {false, true}) {
      const base::SteadyTime deadline = base::steady_now() + limits::kDnsTimeout;
      auto asked = over_tcp ? ask_tcp(resolver, query) : ask_udp(resolver, query);
      auto message = co_await io::with_deadline(std::move(asked), deadline, "a resolver's answer");
      if (!message) {
        last = message.error();
        break;
      }
      const auto parsed = parse_dns_answer(*message, question, id);
      if (!parsed) {
        last = parsed.error();
        break;
      }
      if (parsed->truncated && !over_tcp) continue;
      answer = *parsed;
      co_return std::move(*message);
    }
  }
  co_return last;
}

io::Task<base::Result<std::string>> Resolver::ask_udp(base::IpAddress resolver, std::string query) {
  const Udp::endpoint to(address_of(resolver), kPort);
  Udp::socket socket(core_);
  boost::system::error_code error;
  socket.open(to.protocol(), error);
  if (!error) socket.connect(to, error);  // only its answers are let in
  if (error) co_return failed(error);
  const auto [unsent, sent] = co_await socket.async_send(asio::buffer(query), kTuple);
  if (unsent) co_return failed(unsent);
  std::string message(limits::kDnsMessageBytes, '\0');
  for (;;) {
    const auto [broken, size] = co_await socket.async_receive(asio::buffer(message), kTuple);
    if (broken) co_return failed(broken);
    // Another id is a late answer, or a guess: the right one may still come.
    if (size < 2 || message[0] != query[0] || message[1] != query[1]) continue;
    message.resize(size);
    co_return message;
  }
}

io::Task<base::Result<std::string>> Resolver::ask_tcp(base::IpAddress resolver, std::string query) {
  const Tcp::endpoint to(address_of(resolver), kPort);
  Tcp::socket socket(core_);
  const auto [error] = co_await socket.async_connect(to, kTuple);
  if (error) co_return failed(error);
  const auto sent = co_await write_framed(socket, std::move(query));
  if (!sent) co_return sent.error();
  co_return co_await read_framed(socket);
}

}  // namespace ebb::node
