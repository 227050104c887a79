// A call that has left HTTP (101: a WebSocket): bytes pass as they come, both ways, until one of the two ends, the
// function's timeout, or a silence of limits::kTunnelIdleTimeout. Its time is the call's; what it means is theirs.
#include <boost/asio/this_coro.hpp>

#include "io/one_shot.h"
#include "node/invocation.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

// The client is not the reader's to wait for any more once `done` is set.
io::Task<> Invocation::pump_in(std::shared_ptr<Invocation> self, http::Tunnel& client,
                               std::shared_ptr<io::OneShot<bool>> done) {
  base::Result<> went;
  std::string bytes;
  do {
    bytes.clear();
    went = co_await client.read(bytes);
    self->bytes_in_ += bytes.size();
    if (went && !bytes.empty()) went = co_await self->upstream_->send_bytes(bytes);
  } while (went && !bytes.empty());
  self->upstream_->shut_down();
  done->set(true);
}

io::Task<base::Result<>> Invocation::relay_tunnel(std::shared_ptr<Invocation> self, http::Tunnel& client) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Invocation& it = *self;
  it.tunnel_ = &client;
  const auto done = std::make_shared<io::OneShot<bool>>();
  io::spawn(it.runner_->services_.here(), "tunnel to a program", pump_in(self, client, done));
  base::Result<> went;
  do {
    it.piece_.clear();
    went = co_await it.upstream_->receive_bytes(it.piece_);
    it.bytes_out_ += it.piece_.size();
    if (went && !it.piece_.empty()) went = co_await client.write(it.piece_);
  } while (went && !it.piece_.empty());
  it.settle();
  client.cut();
  it.upstream_->shut_down();
  // The client's end is gone when this returns: whoever reads from it must have let go. A cancellation ends one wait.
  for (bool let_go = false; !let_go;) {
    const base::SteadyTime soon = base::steady_now() + 1s;
    const std::optional<bool> ended = co_await done->wait(soon);
    let_go = ended.has_value();
    client.cut();
  }
  it.tunnel_ = nullptr;
  if (it.timed_out_) co_await it.learn_why_program(base::unavailable("took too long"));
  it.finish();
  co_return base::Result<>();
}

}  // namespace ebb::node
