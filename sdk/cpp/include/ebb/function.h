// A function of Ebb in C++: one header, C++17, nothing but the standard library.
//
//   #include <ebb/function.h>
//   ebb::Response handler(const ebb::Event& event, ebb::Context&) { return "hello, " + event.query("name", "world"); }
//   EBB_FUNCTION(handler)
//
// Built as a shared library, which a zygote loads once and whose instances are forks of it: what static initialisation
// and `init` have put into memory is there in every instance. An instance runs one call at a time, on one thread.
// The first part is the interface in C between the library and Ebb's native runtime, which includes it too; it only
// grows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EBB_FUNCTION_ABI = 1 };

// Bytes, not ended by a NUL. They live as long as the call that they are given in.
struct ebb_text {
  const char* data;
  size_t size;
};

struct ebb_field {
  struct ebb_text name;
  struct ebb_text value;
};

// What the library tells its host. All are called on the thread that the host called the library on, and on no other.
// What is given is copied before they return. 0: go on; else nobody wants more, return soon.
struct ebb_host {
  void* self;
  int (*begin)(void* self, int status, const struct ebb_field* headers, size_t count);
  int (*piece)(void* self, struct ebb_text data);
  int (*whole)(void* self, int status, const struct ebb_field* headers, size_t count, struct ebb_text body);
  void (*failed)(void* self, struct ebb_text type, struct ebb_text message);
};

struct ebb_call {
  struct ebb_host host;
  int is_http;  // else a direct call: the body is its payload, the other parts of a request are empty
  struct ebb_text method;
  struct ebb_text path;             // behind /fn/APP/FUNCTION, percent-decoded: any bytes
  struct ebb_text query;            // as it was sent
  const struct ebb_field* headers;  // names in lower case
  size_t header_count;
  struct ebb_text body;
  struct ebb_text request_id;
  struct ebb_text app;
  struct ebb_text function;
  struct ebb_text version;
  int64_t deadline_ms;  // milliseconds since 1970
  uint64_t memory_bytes;
};

struct ebb_function {
  uint32_t abi;                                  // EBB_FUNCTION_ABI
  void (*init)(const struct ebb_host* host);     // once, in the zygote; only `failed` may be called
  void (*started)(const struct ebb_host* host);  // once in every instance, before its first call; the same
  void (*call)(const struct ebb_call* call);
};

// The one symbol that the library exports.
#define EBB_FUNCTION_SYMBOL "ebb_function_v1"
typedef const struct ebb_function* (*ebb_function_entry)(void);

#ifdef __cplusplus
}  // extern "C"

#include <cxxabi.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

namespace ebb {

using Headers = std::vector<std::pair<std::string, std::string>>;

// An error with a type of your own: the answer names it. Any other exception is named by its C++ type.
class Error : public std::runtime_error {
 public:
  Error(std::string type, const std::string& message) : std::runtime_error(message), type_(std::move(type)) {}
  const std::string& type() const { return type_; }

 private:
  std::string type_;
};

namespace detail {

inline std::string_view view(ebb_text text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}
inline ebb_text text(std::string_view given) { return {given.data(), given.size()}; }

inline int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Of a query: %41 and +. What is no escape stays as it is.
inline std::string decoded(std::string_view given) {
  std::string out;
  out.reserve(given.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    const int high = given[i] == '%' && i + 2 < given.size() ? hex(given[i + 1]) : -1;
    const int low = high >= 0 ? hex(given[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(given[i] == '+' ? ' ' : given[i]);
    }
  }
  return out;
}

inline std::vector<ebb_field> fields(const Headers& headers) {
  std::vector<ebb_field> out;
  out.reserve(headers.size());
  for (const auto& [name, value] : headers) out.push_back({text(name), text(value)});
  return out;
}

}  // namespace detail

// A request, or the payload of a direct call. Its texts live as long as the call.
class Event {
 public:
  explicit Event(const ebb_call& call) : call_(call) {}

  bool is_http() const { return call_.is_http != 0; }
  std::string_view method() const { return detail::view(call_.method); }
  std::string_view path() const { return detail::view(call_.path); }
  std::string_view query_string() const { return detail::view(call_.query); }
  std::string_view body() const { return detail::view(call_.body); }

  // The value of a header, by its name in lower case; empty when there is none.
  std::string_view header(std::string_view name) const {
    for (std::size_t i = 0; i < call_.header_count; ++i) {
      if (detail::view(call_.headers[i].name) == name) return detail::view(call_.headers[i].value);
    }
    return {};
  }

  // The first value of a name of the query, decoded; `otherwise` when there is none.
  std::string query(std::string_view name, std::string_view otherwise = {}) const {
    std::string_view rest = query_string();
    while (!rest.empty()) {
      const std::size_t end = rest.find('&');
      const std::string_view pair = rest.substr(0, end);
      const std::size_t equals = pair.find('=');
      if (detail::decoded(pair.substr(0, equals)) == name) {
        return equals == std::string_view::npos ? std::string() : detail::decoded(pair.substr(equals + 1));
      }
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
    return std::string(otherwise);
  }

 private:
  const ebb_call& call_;
};

// What a handler answers. A text is text/plain; json() and bytes() say what they are; Stream::end() ends a stream.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  bool streamed = false;

  Response() = default;
  Response(std::string text) : headers{{"content-type", "text/plain; charset=utf-8"}}, body(std::move(text)) {}
  Response(const char* text) : Response(std::string(text)) {}
  Response(int status_, Headers headers_, std::string body_)
      : status(status_), headers(std::move(headers_)), body(std::move(body_)) {}

  static Response json(std::string text, int status = 200) {
    return {status, {{"content-type", "application/json"}}, std::move(text)};
  }
  static Response bytes(std::string data, std::string type = "application/octet-stream") {
    return {200, {{"content-type", std::move(type)}}, std::move(data)};
  }
};

// A body that goes out piece by piece. write() waits while the client has no room.
class Stream {
 public:
  Stream(const ebb_host& host, int status, const Headers& headers) : host_(host) {
    const std::vector<ebb_field> given = detail::fields(headers);
    wanted_ = host_.begin(host_.self, status, given.data(), given.size()) == 0;
  }

  // False: nobody wants more (the client has gone, or it was a HEAD); return.
  bool write(std::string_view piece) {
    if (wanted_ && !piece.empty()) wanted_ = host_.piece(host_.self, detail::text(piece)) == 0;
    return wanted_;
  }

  Response end() const {
    Response response;
    response.streamed = true;
    return response;
  }

 private:
  const ebb_host& host_;
  bool wanted_ = false;
};

// The call beside its event. It lives as long as the call.
class Context {
 public:
  explicit Context(const ebb_call& call) : call_(call) {}

  std::string_view request_id() const { return detail::view(call_.request_id); }
  std::string_view app() const { return detail::view(call_.app); }
  std::string_view function() const { return detail::view(call_.function); }
  std::string_view version() const { return detail::view(call_.version); }
  std::uint64_t memory_bytes() const { return call_.memory_bytes; }
  std::chrono::system_clock::time_point deadline() const {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(call_.deadline_ms));
  }
  // Until the call is ended by its timeout; never below 0.
  std::chrono::milliseconds remaining() const {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline() - std::chrono::system_clock::now());
    return left.count() > 0 ? left : std::chrono::milliseconds(0);
  }

  // Begins a streamed answer: `return stream.end();` when all is written.
  Stream stream(int status = 200, const Headers& headers = {}) const { return Stream(call_.host, status, headers); }

 private:
  const ebb_call& call_;
};

using Handler = Response (*)(const Event&, Context&);
using Hook = void (*)();

namespace detail {

inline void fail(const ebb_host& host, std::string_view type, std::string_view message) {
  host.failed(host.self, text(type), text(message));
}

// Runs `body`, and tells what it throws. No exception leaves the library.
template <typename Body>
void guarded(const ebb_host& host, Body body) noexcept {
  try {
    body();
  } catch (const Error& error) {
    fail(host, error.type(), error.what());
  } catch (const std::exception& error) {
    int status = 0;
    char* name = abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status);
    std::string_view type = status == 0 && name != nullptr ? name : typeid(error).name();
    constexpr std::string_view kUnnamed = "(anonymous namespace)::";
    if (type.substr(0, kUnnamed.size()) == kUnnamed) type.remove_prefix(kUnnamed.size());
    fail(host, type, error.what());
    std::free(name);
  } catch (...) {
    fail(host, "unknown", "the handler threw what is no std::exception");
  }
}

template <Handler handler>
void call(const ebb_call* given) {
  guarded(given->host, [given] {
    const Event event(*given);
    Context context(*given);
    const Response response = handler(event, context);
    if (response.streamed) return;
    const std::vector<ebb_field> headers = fields(response.headers);
    given->host.whole(given->host.self, response.status, headers.data(), headers.size(), text(response.body));
  });
}

template <Hook hook>
void run_hook(const ebb_host* host) {
  guarded(*host, [] { hook(); });
}

inline void nothing() {}

}  // namespace detail
}  // namespace ebb

// Once in a library. HANDLER: ebb::Response(const ebb::Event&, ebb::Context&).
#define EBB_FUNCTION(HANDLER) EBB_FUNCTION_WITH(HANDLER, ::ebb::detail::nothing, ::ebb::detail::nothing)
// INIT: void(), once before the zygote is forked: load the model here. STARTED: void(), in every instance before its
// first call: seed random generators and open connections here, not in INIT, or all instances have the same.
#define EBB_FUNCTION_WITH(HANDLER, INIT, STARTED)                                                            \
  extern "C" __attribute__((visibility("default"))) const ebb_function* ebb_function_v1(void) {              \
    static const ebb_function function = {EBB_FUNCTION_ABI, &::ebb::detail::run_hook<INIT>,                  \
                                          &::ebb::detail::run_hook<STARTED>, &::ebb::detail::call<HANDLER>}; \
    return &function;                                                                                        \
  }

#endif  // __cplusplus
