// `ebb invoke`: calls a function directly; its event is the JSON given, its answer is printed as it comes. With --async
// nobody waits for one.
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/event.h"
#include "http/error_response.h"

namespace ebb::cli {
namespace {

// The longest a function may take, and as long again in the queue: the daemon decides, not we.
constexpr auto kInvokeLimit = 2 * limits::kFunctionTimeoutMax;
constexpr auto kLeaveLimit = std::chrono::seconds(60);

struct Options {
  std::string subject;
  EventOptions event;
  bool raw = false;
  bool verbose = false;
  bool async = false;
};

std::string base64(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += j <= have ? kLetters[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

// The body as JSON when it is JSON, else as a string when it is text, else as "body_base64".
std::string body_member(const http::ClientResponse& response) {
  const std::string_view type = response.headers.get("content-type");
  if (type.find("json") != std::string_view::npos) {
    boost::system::error_code failed;
    boost::json::parse(response.body, failed);
    if (!failed) return "\"body\":" + response.body;
  }
  if (type.substr(0, 5) == "text/" || type.find("json") != std::string_view::npos)
    return "\"body\":" + http::json_quoted(response.body);
  return "\"body_base64\":\"" + base64(response.body) + "\"";
}

void print_json(const http::ClientResponse& response) {
  std::string headers;
  for (const http::Header& header : response.headers) {
    headers += (headers.empty() ? "" : ",") +
               ("[" + http::json_quoted(header.name) + "," + http::json_quoted(header.value) + "]");
  }
  print_out("{\"status\":" + std::to_string(response.status) +
            ",\"request_id\":" + http::json_quoted(response.headers.get("x-ebb-request-id")) +
            ",\"timing\":" + http::json_quoted(response.headers.get("server-timing")) + ",\"headers\":[" + headers +
            "]," + body_member(response) + "}\n");
}

// A function may answer 4xx or 5xx of its own; an error of Ebb's names the request it belongs to.
bool is_ebbs_own(const http::ClientResponse& response) {
  if (response.status < 400) return false;
  const std::string* request_id = response.headers.find("x-ebb-request-id");
  if (request_id == nullptr) return true;
  const auto object = json_object(response.body);
  const auto* error = object ? object->if_contains("error") : nullptr;
  return error != nullptr && error->is_object() && text_of(error->get_object(), "request_id") == *request_id;
}

// Prints an answer while it comes. Lives as long as the request.
class Printer {
 public:
  Printer(const Session& session, const Options& options) : session_(session), options_(options) {}

  void head(int status, const http::Headers& headers) {
    begun_ = status >= 200 && status < 300;
    request_id_ = headers.get("x-ebb-request-id");
    text_ = headers.get("content-type").find("octet-stream") == std::string_view::npos;
    if (!options_.verbose) return;
    for (const char* name : {"X-Ebb-Request-Id", "X-Ebb-Version", "Server-Timing"}) {
      const std::string line = std::string(name) + ": " + harmless(headers.get(name));
      print_err(session_.terminal.on_err(Colour::kDim, line) + "\n");
    }
  }
  void body(std::string_view bytes) {
    if (bytes.empty()) return;
    print_out(bytes);
    bytes_ += bytes.size();
    last_ = bytes.back();
  }
  void end() const {
    if (session_.terminal.out && text_ && bytes_ > 0 && last_ != '\n') print_out("\n");
  }
  // What a request that ended in an error means, once part of its answer is out.
  base::Error explained(base::Error error, const Subject& subject) const {
    if (!begun_ || error.code != base::Code::kUnavailable) return error;
    end();
    return base::Error{.code = base::Code::kFunctionFailed,
                       .message = "the answer of " + subject.app + "/" + subject.function + " broke off after " +
                                  std::to_string(bytes_) + " bytes, why: ebb logs " + subject.app + "/" +
                                  subject.function + " --request " + harmless(request_id_)};
  }

 private:
  const Session& session_;
  const Options& options_;
  std::string request_id_;
  bool begun_ = false;
  bool text_ = true;
  std::uint64_t bytes_ = 0;
  char last_ = '\n';
};

http::ClientRequest request_for(const Options& options, const Subject& subject, std::string event) {
  http::ClientRequest request{.method = "POST"};
  request.url = "/api/v1/apps/" + subject.app + "/functions/" + subject.function + "/invocations";
  if (!subject.version.empty()) request.url += "?version=" + encoded(subject.version);
  request.headers.add("Content-Type", options.raw ? "application/octet-stream" : "application/json");
  request.body = std::move(event);
  return request;
}

// The id alone on standard output, so that a script has it; the rest is for the person.
base::Result<int> leave(const Session& session, const Options& options, const Subject& subject, std::string event) {
  http::ClientRequest request = request_for(options, subject, std::move(event));
  request.url += (subject.version.empty() ? "?" : "&") + std::string("async=true");
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLeaveLimit));
  if (session.json) {
    print_out(response.body);
    return 0;
  }
  EBB_TRY(const boost::json::object accepted, json_object(response.body));
  const std::string waits = harmless(text_of(accepted, "waits_because"));
  print_err(waits.empty() ? "accepted; ebb calls ls shows it until it is done\n"
                          : "accepted; it waits: " + waits + "\n");
  print_out(text_of(accepted, "id") + "\n");
  return 0;
}

base::Result<int> invoke(const Session& session, const Options& options) {
  EBB_TRY(const Subject subject, parse_subject(options.subject));
  if (subject.function.empty()) {
    return base::invalid_argument("name a function of " + subject.app + ": ebb invoke " + subject.app +
                                  "/FUNCTION (see ebb ls " + subject.app + ")");
  }
  EBB_TRY(std::string event, options.raw ? read_event(options.event) : read_json_event(options.event));
  if (options.async) return leave(session, options, subject, std::move(event));

  Printer printer(session, options);
  http::ClientRequest request = request_for(options, subject, std::move(event));
  request.on_head = [&printer](int status, const http::Headers& headers) { printer.head(status, headers); };
  if (!session.json) {
    request.on_chunk = [&printer](std::string_view bytes) {
      printer.body(bytes);
      return true;
    };
  }
  const base::Result<http::ClientResponse> answered = session.rest().send(std::move(request), kInvokeLimit);
  if (!answered) return printer.explained(answered.error(), subject);
  const http::ClientResponse& response = *answered;

  if (is_ebbs_own(response)) {
    const base::Error error = error_of(response);
    if (error.code == base::Code::kFunctionFailed && !session.json) {
      print_err("what it printed: ebb logs " + subject.app + "/" + subject.function + " --request " +
                harmless(response.headers.get("x-ebb-request-id")) + "\n");
    }
    return error;
  }
  if (session.json) {
    print_json(response);
    return 0;
  }
  printer.body(response.body);  // of a status that is not 2xx; others were printed as they came
  printer.end();
  if (response.status >= 400) print_err("the function answered with status " + std::to_string(response.status) + "\n");
  return 0;
}

}  // namespace

void add_invoke(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("invoke", "Call a function with an event and print its answer");
  command->group("Deploy and call");
  command->add_option("function", options->subject, "APP/FUNCTION, APP/FUNCTION:VERSION or APP/FUNCTION:ALIAS")
      ->required()
      ->type_name("");
  add_event_options(*command, options->event);
  command->add_flag("--raw", options->raw, "Send the data as bytes, not as JSON");
  command->add_flag("-v,--verbose", options->verbose, "Show request id, version and Server-Timing on standard error");
  command->add_flag("--async", options->async,
                    "Do not wait for the answer: the node keeps the event, delivers it and tries again if it fails");
  add_common_options(*command, session);
  command->callback(
      [&session, options] { session.action = [&session, options] { return invoke(session, *options); }; });
}

}  // namespace ebb::cli
