#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string_view>

namespace ebb::http {
namespace {

namespace ssl = boost::asio::ssl;

constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
// Of TLS 1.2; all of 1.3 are of this kind.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned int in_length, void*) {
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_length, kAlpn, sizeof kAlpn, in, in_length);
  // A client that wants only what we do not speak is told so, instead of failing later.
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

base::Error unusable(std::string_view what, const std::string& path, const boost::system::error_code& failed) {
  return base::invalid_argument(std::string(what) + " " + path + " cannot be used: " + failed.message() +
                                "; it must be PEM and readable by the daemon's account");
}

base::Result<std::shared_ptr<ssl::context>> make_server_context(const std::string& certificate,
                                                                const std::string& key) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code failed;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_compression | SSL_OP_NO_RENEGOTIATION |
                           SSL_OP_CIPHER_SERVER_PREFERENCE,
                       failed);
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, kCiphers);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets resume without memory of ours
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  context->use_certificate_chain_file(certificate, failed);
  if (failed) return unusable("tls_certificate", certificate, failed);
  context->use_private_key_file(key, ssl::context::pem, failed);
  if (failed) return unusable("tls_key", key, failed);
  if (SSL_CTX_check_private_key(raw) != 1) {
    ERR_clear_error();
    return base::invalid_argument("tls_key " + key + " is not the key of the certificate in " + certificate);
  }
  return context;
}

}  // namespace

base::Result<std::shared_ptr<TlsIdentity>> TlsIdentity::load(std::string certificate, std::string key) {
  std::shared_ptr<TlsIdentity> identity(new TlsIdentity(std::move(certificate), std::move(key)));
  const Stamp stamp = identity->stamp();
  EBB_TRY(auto context, make_server_context(identity->certificate_, identity->key_));
  base::MutexLock lock(identity->mutex_);
  identity->read_ = stamp;
  identity->context_ = std::move(context);
  return identity;
}

TlsIdentity::Stamp TlsIdentity::stamp() const {
  std::error_code missing;
  return {std::filesystem::last_write_time(certificate_, missing), std::filesystem::last_write_time(key_, missing)};
}

base::Result<bool> TlsIdentity::reload_if_changed() {
  const Stamp now = stamp();
  {
    base::MutexLock lock(mutex_);
    if (now == read_) return false;
    read_ = now;  // also when they cannot be used: one complaint for one change
  }
  EBB_TRY(auto context, make_server_context(certificate_, key_));
  base::MutexLock lock(mutex_);
  context_ = std::move(context);
  return true;
}

std::shared_ptr<TlsIdentity::Context> TlsIdentity::context() const {
  base::MutexLock lock(mutex_);
  return context_;
}

base::Result<std::shared_ptr<ssl::context>> client_tls_context(const std::string& ca_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  boost::system::error_code failed;
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_alpn_protos(context->native_handle(), kAlpn, sizeof kAlpn);
  context->set_verify_mode(ssl::verify_peer, failed);
  if (ca_file.empty()) {
    context->set_default_verify_paths(failed);
  } else {
    context->load_verify_file(ca_file, failed);
  }
  if (!failed) return context;
  return base::not_found("the authorities in " + (ca_file.empty() ? "the system's store" : ca_file) +
                         " cannot be read: " + failed.message() + ", give a PEM file with --ca-file");
}

}  // namespace ebb::http
