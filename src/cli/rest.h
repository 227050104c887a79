// The REST interface as the command line uses it: one request, its JSON answer, or an error that says what to do next.
// Called by every command that talks to a daemon.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/result.h"
#include "http/client.h"
#include "io/task.h"

namespace ebb::cli {

/// A URL as the others are compared with it and paths are put behind it.
std::string without_slash(std::string url);

class Rest {
 public:
  /// `url` is scheme, host and port, "http://127.0.0.1:8080"; a slash at its end does no harm.
  /// `key`: what is shown to the daemon; "" for none; an error is that of the first request.
  /// `ca_file`: as in http::ClientRequest.
  explicit Rest(std::string url, base::Result<std::string> key = std::string(), std::string ca_file = {});

  const std::string& url() const { return url_; }

  /// Any answer, also one of status 4xx or 5xx. `request.url` is the path with its query.
  /// Errors: those of reaching the daemon, with the remedy.
  base::Result<http::ClientResponse> send(http::ClientRequest request, base::Duration limit) const;

  /// The request with all that send() adds: address, key, authorities. For who sends it otherwise.
  /// Errors: of finding the key.
  base::Result<http::ClientRequest> prepared(http::ClientRequest request) const;
  /// An error of sending a prepared request, with the remedy.
  base::Error explained(base::Error error) const;

  /// An answer of status 2xx. Errors: as send; the daemon's own by its code, with its request id.
  base::Result<http::ClientResponse> call(http::ClientRequest request, base::Duration limit) const;

  /// GET, and the answer as a JSON object beside its text.
  struct Document {
    std::string text;
    boost::json::object object;
  };
  base::Result<Document> get(std::string path) const;

  /// send() and get() for who does something else meanwhile.
  io::Task<base::Result<http::ClientResponse>> async_send(http::ClientRequest request, base::Duration limit) const;
  io::Task<base::Result<Document>> async_get(std::string path) const;

 private:
  std::string url_;
  base::Result<std::string> key_;
  std::string ca_file_;
};

/// The error that an answer of status 4xx or 5xx carries.
base::Error error_of(const http::ClientResponse& response);

/// Reads the text as a JSON object. Errors: kInternal; whoever answers so is no Ebb.
base::Result<boost::json::object> json_object(std::string_view text);

/// Percent-encodes everything but letters, digits and "-._~".
std::string encoded(std::string_view text);

// Members of an answer; absent or of another type reads as empty or zero.
std::string text_of(const boost::json::object& object, std::string_view name);
double number_of(const boost::json::object& object, std::string_view name);
std::uint64_t count_of(const boost::json::object& object, std::string_view name);
bool flag_of(const boost::json::object& object, std::string_view name);
/// Those elements of the list that are objects. They are `object`'s: a new member of it moves them.
std::vector<const boost::json::object*> objects_in(const boost::json::object& object, std::string_view name);
/// Those elements of the list that are text.
std::vector<std::string> texts_in(const boost::json::object& object, std::string_view name);

}  // namespace ebb::cli
