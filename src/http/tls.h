// TLS: what a server shows of itself, and how a client decides whom to believe. OpenSSL through Asio.
//
// 1. TLS 1.2 with forward secrecy and authenticated ciphers, or 1.3; no compression, no renegotiation; ALPN is
// http/1.1.
// 2. A certificate can be replaced while the server runs: connections made from then on see the new one.
// 3. The limits and timeouts of plaintext hold; the handshake has one of its own.
// Called by the daemon (load, reload_if_changed), the server's connections and the client.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "io/task.h"

namespace ebb::http {

using TlsStream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

/// What there is to read, at most the buffers' size: of `tls`, or of the plain socket when that is null. `failed`
/// outlives the wait.
template <typename Buffers>
io::Task<std::size_t> read_some(boost::asio::ip::tcp::socket& plain, TlsStream* tls, const Buffers& to,
                                boost::system::error_code& failed) {
  if (tls != nullptr) {
    return tls->async_read_some(to, boost::asio::redirect_error(boost::asio::use_awaitable, failed));
  }
  return plain.async_read_some(to, boost::asio::redirect_error(boost::asio::use_awaitable, failed));
}

/// The same for writing.
template <typename Buffers>
io::Task<std::size_t> write_some(boost::asio::ip::tcp::socket& plain, TlsStream* tls, const Buffers& from,
                                 boost::system::error_code& failed) {
  if (tls != nullptr) {
    return tls->async_write_some(from, boost::asio::redirect_error(boost::asio::use_awaitable, failed));
  }
  return plain.async_write_some(from, boost::asio::redirect_error(boost::asio::use_awaitable, failed));
}

class TlsIdentity {
 public:
  using Context = boost::asio::ssl::context;

  /// PEM files: the certificate with its chain, and its key. Blocking.
  /// Errors: kInvalidArgument naming the file: unreadable, no PEM, or a key of another certificate.
  static base::Result<std::shared_ptr<TlsIdentity>> load(std::string certificate, std::string key);

  /// Reads the files again when one of them has changed; on an error the old identity stays. True when there is a new
  /// one. Blocking. Threads: any.
  base::Result<bool> reload_if_changed();

  /// For a new connection. Threads: any.
  std::shared_ptr<Context> context() const;

 private:
  struct Stamp {
    std::filesystem::file_time_type certificate;
    std::filesystem::file_time_type key;
    bool operator==(const Stamp&) const = default;
  };

  TlsIdentity(std::string certificate, std::string key) : certificate_(std::move(certificate)), key_(std::move(key)) {}
  Stamp stamp() const;

  const std::string certificate_;
  const std::string key_;
  mutable base::Mutex mutex_;
  Stamp read_ EBB_GUARDED_BY(mutex_);
  std::shared_ptr<Context> context_ EBB_GUARDED_BY(mutex_);
};

/// Trusts the authorities in `ca_file`, or the system's when it is empty. Errors: kNotFound naming the file.
base::Result<std::shared_ptr<boost::asio::ssl::context>> client_tls_context(const std::string& ca_file);

}  // namespace ebb::http
