#include "cli/rest.h"

#include <boost/json/parse.hpp>

#include "base/co_checked.h"

namespace ebb::cli {
namespace {

constexpr auto kAnswerLimit = std::chrono::seconds(60);  // of a request that only looks

}  // namespace

std::string without_slash(std::string url) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  return url;
}

Rest::Rest(std::string url, base::Result<std::string> key, std::string ca_file)
    : url_(without_slash(std::move(url))), key_(std::move(key)), ca_file_(std::move(ca_file)) {}

base::Result<http::ClientRequest> Rest::prepared(http::ClientRequest request) const {
  EBB_TRY(const std::string key, key_);
  if (!key.empty()) request.headers.add("Authorization", "Bearer " + key);
  request.ca_file = ca_file_;
  request.url = url_ + request.url;
  return request;
}

base::Error Rest::explained(base::Error error) const {
  if (error.code == base::Code::kUnavailable) {
    error.message = "no answer from Ebb at " + url_ + " (" + error.message +
                    "): is ebb serve running? start it, or name another address with --url or EBB_URL";
  } else if (error.code == base::Code::kInvalidArgument) {
    error.message = "the address of Ebb: " + error.message + ", set it with --url or EBB_URL";
  }
  return error;
}

base::Result<http::ClientResponse> Rest::send(http::ClientRequest request, base::Duration limit) const {
  EBB_TRY(http::ClientRequest whole, prepared(std::move(request)));
  auto response = http::fetch(std::move(whole), limit);
  if (response) return response;
  return explained(response.error());
}

base::Result<http::ClientResponse> Rest::call(http::ClientRequest request, base::Duration limit) const {
  EBB_TRY(http::ClientResponse response, send(std::move(request), limit));
  if (response.status >= 200 && response.status < 300) return response;
  return error_of(response);
}

base::Result<Rest::Document> Rest::get(std::string path) const {
  http::ClientRequest request;
  request.url = std::move(path);
  request.headers.add("Accept", "application/json");
  EBB_TRY(http::ClientResponse response, call(std::move(request), kAnswerLimit));
  EBB_TRY(boost::json::object object, json_object(response.body));
  return Document{std::move(response.body), std::move(object)};
}

io::Task<base::Result<http::ClientResponse>> Rest::async_send(http::ClientRequest request, base::Duration limit) const {
  base::Result<http::ClientRequest> whole = prepared(std::move(request));
  if (!whole) co_return whole.error();
  const base::SteadyTime deadline = base::steady_now() + limit;
  base::Result<http::ClientResponse> response = co_await http::request(std::move(*whole), deadline);
  if (!response) co_return explained(response.error());
  co_return response;
}

io::Task<base::Result<Rest::Document>> Rest::async_get(std::string path) const {
  http::ClientRequest request;
  request.url = std::move(path);
  request.headers.add("Accept", "application/json");
  base::Result<http::ClientResponse> response = co_await async_send(std::move(request), kAnswerLimit);
  if (!response) co_return response.error();
  if (response->status < 200 || response->status >= 300) co_return error_of(*response);
  EBB_CO_TRY(boost::json::object object, json_object(response->body));
  co_return Document{std::move(response->body), std::move(object)};
}

base::Error error_of(const http::ClientResponse& response) {
  const auto object = json_object(response.body);
  const auto* member = object ? object->if_contains("error") : nullptr;
  const auto* error = member != nullptr ? member->if_object() : nullptr;
  if (error == nullptr) {
    return base::internal("the server answered " + std::to_string(response.status) +
                          " without a word of why: is this address an Ebb?");
  }
  base::Error result{.code = base::code_named(text_of(*error, "code")), .message = text_of(*error, "message")};
  const std::string request_id = text_of(*error, "request_id");
  if (!request_id.empty()) result.message += " (request " + request_id + ")";
  if (const std::string* after = response.headers.find("retry-after")) {
    result.message += ", try again in " + *after + " s";
  }
  return result;
}

base::Result<boost::json::object> json_object(std::string_view text) {
  boost::system::error_code failed;
  boost::json::value value = boost::json::parse(text, failed);
  if (failed || !value.is_object())
    return base::internal("the server did not answer with a JSON object: is this address an Ebb?");
  return std::move(value.get_object());
}

std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += '%';
    result += kDigits[byte >> 4];
    result += kDigits[byte & 15];
  }
  return result;
}

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

double number_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_number()) return 0;
  boost::system::error_code inexact;
  return value->to_number<double>(inexact);
}

std::uint64_t count_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_number()) return 0;
  boost::system::error_code inexact;
  const auto count = value->to_number<std::uint64_t>(inexact);
  return inexact ? 0 : count;
}

bool flag_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<const boost::json::object*> objects_in(const boost::json::object& object, std::string_view name) {
  std::vector<const boost::json::object*> found;
  const auto* member = object.if_contains(name);
  if (member == nullptr || !member->is_array()) return found;
  for (const auto& value : member->get_array()) {
    if (value.is_object()) found.push_back(&value.get_object());
  }
  return found;
}

std::vector<std::string> texts_in(const boost::json::object& object, std::string_view name) {
  std::vector<std::string> found;
  const auto* member = object.if_contains(name);
  if (member == nullptr || !member->is_array()) return found;
  for (const auto& value : member->get_array()) {
    if (value.is_string()) found.emplace_back(value.get_string());
  }
  return found;
}

}  // namespace ebb::cli
