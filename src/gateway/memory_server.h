// MemoryServer: a real HTTP server with the real gateway over a MemoryNode, on a free port of the loopback, for tests.
// The server drains and its threads are joined when it goes. Used by the gateway's and the command line's tests only.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>

#include "gateway/gateway.h"
#include "gateway/memory_node.h"
#include "http/client.h"
#include "http/server.h"
#include "io/cores.h"
#include "store/access_keys.h"

namespace ebb::gateway {

class MemoryServer {
 public:
  MemoryServer() : gateway_(node, with_admin(node)), server_(cores_, gateway_.server_options(), gateway_.handler()) {
    const auto port = server_.listen();
    EXPECT_TRUE(port) << (port ? "" : port.error().message);
    url = "http://127.0.0.1:" + std::to_string(port ? *port : 0);
    thread_ = std::thread([this] { cores_.run(); });
  }
  ~MemoryServer() {
    gateway_.stop_waiting();
    io::spawn(cores_.context(0), "drain", drain(server_, cores_));
    thread_.join();
  }
  MemoryServer(const MemoryServer&) = delete;
  MemoryServer& operator=(const MemoryServer&) = delete;

  Gateway& gateway() { return gateway_; }

  /// The same for all servers of a test program.
  static const store::FreshKey& admin() {
    static const base::Result<store::FreshKey> key = store::make_key(model::Role::kAdmin, "", "of the test");
    return *key;
  }

  /// One exchange, with the admin key unless the headers say who calls. A failed one is an error of the test and reads
  /// as status 0.
  http::ClientResponse fetch(std::string method, const std::string& path, std::string body = {},
                             http::Headers headers = {}) {
    http::ClientRequest request{.method = std::move(method), .url = url + path};
    request.headers = std::move(headers);
    if (request.headers.find("authorization") == nullptr && path.substr(0, 4) != "/fn/") {
      request.headers.add("Authorization", "Bearer " + admin().text);
    }
    request.body = std::move(body);
    auto response = http::fetch(std::move(request), std::chrono::seconds(60));
    EXPECT_TRUE(response) << (response ? "" : response.error().message);
    return response ? std::move(*response) : http::ClientResponse{};
  }

  MemoryNode node;
  std::string url;

 private:
  static const std::vector<model::AccessKey>& with_admin(MemoryNode& node) {
    node.keys.push_back(admin().key);
    return node.keys;
  }
  static io::Task<> drain(http::Server& server, io::Cores& cores) {
    const base::SteadyTime deadline = base::steady_now() + std::chrono::seconds(10);
    const auto drained = co_await server.drain(deadline);
    EXPECT_TRUE(drained) << (drained ? "" : drained.error().message);
    cores.stop();
  }

  io::Cores cores_{1};
  Gateway gateway_;
  http::Server server_;
  std::thread thread_;
};

}  // namespace ebb::gateway
