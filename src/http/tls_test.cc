// TLS between the real server and the real client on the loopback, with certificates made for the test: what is
// trusted, what is refused, renewal, the handshake's deadline. tests/security/test_tls.py has foreign clients.
#include "http/tls.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "http/client.h"
#include "http/loopback_test_server.h"

namespace ebb::http {
namespace {

namespace fs = std::filesystem;

class Certificates {
 public:
  Certificates() {
    std::string pattern = (fs::temp_directory_path() / "ebb-tls-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Certificates() { fs::remove_all(path_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  /// Makes NAME.crt and NAME.key for 127.0.0.1.
  void make(const std::string& name, const std::string& host = "IP:127.0.0.1") const {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext "
        "subjectAltName=" +
        host + " -keyout " + key(name) + " -out " + certificate(name) + " 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  std::string certificate(const std::string& name) const { return path_ + "/" + name + ".crt"; }
  std::string key(const std::string& name) const { return path_ + "/" + name + ".key"; }

 private:
  std::string path_;
};

class TlsServer {
 public:
  explicit TlsServer(std::shared_ptr<TlsIdentity> identity, base::Duration handshake = std::chrono::seconds(10))
      : server_(cores_, options_of(std::move(identity), handshake), echo) {
    const auto port = server_.listen();
    EXPECT_TRUE(port);
    port_ = *port;
    url = "https://127.0.0.1:" + std::to_string(port_);
    thread_ = std::thread([this] { cores_.run(); });
  }
  ~TlsServer() {
    io::spawn(cores_.context(0), "drain", drain(server_, cores_));
    thread_.join();
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url;

 private:
  static ServerOptions options_of(std::shared_ptr<TlsIdentity> identity, base::Duration handshake) {
    ServerOptions options;
    options.tls = std::move(identity);
    options.tls_handshake_timeout = handshake;
    options.idle_timeout = std::chrono::seconds(2);
    return options;
  }
  static io::Task<Response> echo(Request request) {
    Response response;
    response.body = std::move(request.body);
    co_return response;
  }
  static io::Task<> drain(Server& server, io::Cores& cores) {
    const auto deadline = base::steady_now() + std::chrono::seconds(5);
    const auto drained = co_await server.drain(deadline);
    static_cast<void>(drained);
    cores.stop();
  }

  io::Cores cores_{1};
  Server server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

base::Result<ClientResponse> ask(const TlsServer& server, const std::string& ca_file, std::string body = "hello") {
  ClientRequest request{.method = "POST", .url = server.url + "/"};
  request.body = std::move(body);
  request.ca_file = ca_file;
  return fetch(std::move(request), std::chrono::seconds(30));
}

TEST(Tls, CarriesBodiesOfEverySizeBothWays) {
  const Certificates certificates;
  certificates.make("a");
  const auto identity = TlsIdentity::load(certificates.certificate("a"), certificates.key("a"));
  ASSERT_TRUE(identity) << identity.error().message;
  const TlsServer server(*identity);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{16'384}, std::size_t{3'000'001}}) {
    const std::string body(size, 'x');
    const auto answer = ask(server, certificates.certificate("a"), body);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body == body, true) << size;
  }
}

TEST(Tls, AClientBelievesOnlyItsAuthoritiesAndTheRightName) {
  const Certificates certificates;
  certificates.make("a");
  certificates.make("b");
  certificates.make("elsewhere", "DNS:elsewhere.example");
  const TlsServer server(*TlsIdentity::load(certificates.certificate("a"), certificates.key("a")));
  const TlsServer misnamed(*TlsIdentity::load(certificates.certificate("elsewhere"), certificates.key("elsewhere")));
  for (const auto& refused : {ask(server, certificates.certificate("b")), ask(server, ""),
                              ask(misnamed, certificates.certificate("elsewhere"))}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, base::Code::kPermissionDenied) << refused.error().message;
    EXPECT_NE(refused.error().message.find("--ca-file"), std::string::npos);
  }
  EXPECT_EQ(ask(server, "/nonexistent").error().code, base::Code::kNotFound);
}

TEST(Tls, FilesThatCannotBeUsedAreNamed) {
  const Certificates certificates;
  certificates.make("a");
  certificates.make("b");
  const auto crossed = TlsIdentity::load(certificates.certificate("a"), certificates.key("b"));
  ASSERT_FALSE(crossed);
  EXPECT_NE(crossed.error().message.find(certificates.key("b")), std::string::npos) << crossed.error().message;
  EXPECT_FALSE(TlsIdentity::load("/nonexistent", certificates.key("a")));
  EXPECT_FALSE(TlsIdentity::load(certificates.certificate("a"), "/nonexistent"));
}

TEST(Tls, ANewCertificateIsShownToNewConnections) {
  const Certificates certificates;
  certificates.make("a");
  certificates.make("b");
  const auto identity = *TlsIdentity::load(certificates.certificate("a"), certificates.key("a"));
  const TlsServer server(identity);
  EXPECT_EQ(*identity->reload_if_changed(), false);
  // What cannot be used leaves the old one, and is complained about once.
  const auto later = fs::file_time_type::clock::now() + std::chrono::seconds(5);
  std::ofstream(certificates.key("a")) << "no key";
  fs::last_write_time(certificates.key("a"), later);
  EXPECT_FALSE(identity->reload_if_changed());
  EXPECT_TRUE(ask(server, certificates.certificate("a")));
  fs::copy_file(certificates.key("b"), certificates.key("a"), fs::copy_options::overwrite_existing);
  fs::copy_file(certificates.certificate("b"), certificates.certificate("a"), fs::copy_options::overwrite_existing);
  fs::last_write_time(certificates.key("a"), later + std::chrono::seconds(5));
  const auto renewed = identity->reload_if_changed();
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_TRUE(*renewed);
  EXPECT_TRUE(ask(server, certificates.certificate("b")));
}

TEST(Tls, SilentAndPlainClientsAreEndedAndOthersServed) {
  const Certificates certificates;
  certificates.make("a");
  const TlsServer server(*TlsIdentity::load(certificates.certificate("a"), certificates.key("a")),
                         std::chrono::milliseconds(300));
  testing::RawClient silent(server.port());
  testing::RawClient plain(server.port());
  plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(plain.read_until("\r\n\r\n").find("200"), std::string::npos);
  EXPECT_EQ(silent.read_until("x"), "");
  EXPECT_TRUE(ask(server, certificates.certificate("a")));
}

}  // namespace
}  // namespace ebb::http
