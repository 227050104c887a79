#include "http/router.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "http/error_response.h"

namespace ebb::http {
namespace {

io::Task<Response> ready(Response response) { co_return response; }

}  // namespace

const PathParams::Param& PathParams::find(std::string_view name) const {
  for (const Param& param : params_) {
    if (param.name == name) return param;
  }
  EBB_CHECK(!"a handler asks only for parameters of its pattern");
  return params_.front();
}

const std::string& PathParams::operator[](std::string_view name) const { return find(name).value; }
const std::string& PathParams::raw(std::string_view name) const { return find(name).raw; }

// "/a//b/" has the segments "a", "", "b", "": only the leading slash separates nothing.
Router::Path Router::split(std::string_view path) {
  Path segments;
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  for (;;) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

base::Result<std::vector<Router::Segment>> Router::parse(std::string_view pattern) {
  const auto malformed = [pattern](std::string_view why) {
    return base::invalid_argument("route pattern " + std::string(pattern) + ": " + std::string(why));
  };
  if (pattern.empty() || pattern.front() != '/') return malformed("it does not begin with a slash");
  std::vector<Segment> segments;
  for (const std::string_view text : split(pattern)) {
    if (!segments.empty() && segments.back().kind == Kind::kRest) return malformed("{...} is not its last segment");
    if (text.empty() || text.front() != '{') {
      if (text.find_first_of("{}") != std::string_view::npos) return malformed("a parameter is a whole segment");
      segments.push_back({Kind::kLiteral, std::string(text)});
      continue;
    }
    if (text.back() != '}') return malformed("a brace is not closed");
    std::string_view name = text.substr(1, text.size() - 2);
    const bool rest = name.size() > 3 && name.substr(name.size() - 3) == "...";
    if (rest) name.remove_suffix(3);
    if (name.empty() || name.find_first_of("{}.") != std::string_view::npos)
      return malformed("a parameter has no name");
    for (const Segment& other : segments) {
      if (other.kind != Kind::kLiteral && other.text == name) return malformed("a parameter is named twice");
    }
    segments.push_back({rest ? Kind::kRest : Kind::kParam, std::string(name)});
  }
  return segments;
}

base::Result<> Router::add(std::string method, std::string pattern, RouteHandler handler) {
  EBB_TRY(std::vector<Segment> segments, parse(pattern));
  if (entries_.size() == limits::kHttpRoutes) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "a router holds at most " + std::to_string(limits::kHttpRoutes) + " routes"};
  }
  for (const Entry& entry : entries_) {
    const bool same = std::equal(entry.segments.begin(), entry.segments.end(), segments.begin(), segments.end(),
                                 [](const Segment& a, const Segment& b) {
                                   return a.kind == b.kind && (a.kind != Kind::kLiteral || a.text == b.text);
                                 });
    if (same && entry.route.method == method) {
      return base::Error{.code = base::Code::kConflict,
                         .message = "route " + method + " " + pattern + " exists already"};
    }
  }
  entries_.push_back(Entry{Route{std::move(method), std::move(pattern)}, std::move(segments), std::move(handler)});
  return {};
}

bool Router::matches(const Entry& entry, const Path& segments) {
  for (std::size_t i = 0; i < entry.segments.size(); ++i) {
    const Segment& wanted = entry.segments[i];
    if (wanted.kind == Kind::kRest) return true;
    if (i == segments.size()) return false;
    if (wanted.kind == Kind::kLiteral && wanted.text != segments[i]) return false;
    if (wanted.kind == Kind::kParam && segments[i].empty()) return false;
  }
  return segments.size() == entry.segments.size();
}

bool Router::precedes(const Entry& a, const Entry& b) {
  for (std::size_t i = 0; i < std::min(a.segments.size(), b.segments.size()); ++i) {
    if (a.segments[i].kind != b.segments[i].kind) return a.segments[i].kind < b.segments[i].kind;
  }
  return a.segments.size() < b.segments.size();  // "/x" before "/x/{rest...}"
}

base::Result<PathParams> Router::params_of(const Entry& entry, const Path& segments, std::string_view path) {
  PathParams params;
  params.params_.reserve(entry.segments.size());
  for (std::size_t i = 0; i < entry.segments.size(); ++i) {
    const Segment& wanted = entry.segments[i];
    if (wanted.kind == Kind::kLiteral) continue;
    std::string_view raw;
    if (wanted.kind == Kind::kParam) raw = segments[i];
    if (wanted.kind == Kind::kRest && i < segments.size()) {
      raw = path.substr(static_cast<std::size_t>(segments[i].data() - path.data()));
    }
    EBB_TRY(std::string value, percent_decode(raw));
    params.params_.push_back({wanted.text, std::move(value), std::string(raw)});
  }
  return params;
}

io::Task<Response> Router::route(Request request) const {
  const Path segments = split(request.path);
  const Entry* best = nullptr;  // among those that serve the method
  const Entry* get = nullptr;   // what a HEAD falls back to
  for (const Entry& entry : entries_) {
    if (!matches(entry, segments)) continue;
    const std::string& method = entry.route.method;
    const auto better = [&entry](const Entry* than) { return than == nullptr || precedes(entry, *than); };
    if ((method == request.method || method == "*") && better(best)) best = &entry;
    if (method == "GET" && better(get)) get = &entry;
  }
  if (best == nullptr && request.method == "HEAD") best = get;
  if (best == nullptr) return ready(refusal(request, segments));
  base::Result<PathParams> params = params_of(*best, segments, request.path);
  if (!params) return ready(error_response(params.error()));
  return best->handler(std::move(request), *std::move(params));
}

// Of a path that there is not, or not for this method.
Response Router::refusal(const Request& request, const Path& segments) const {
  std::vector<std::string_view> allowed;
  for (const Entry& entry : entries_) {
    const std::string& method = entry.route.method;
    if (!matches(entry, segments) || std::find(allowed.begin(), allowed.end(), method) != allowed.end()) continue;
    allowed.push_back(method);
  }
  if (allowed.empty()) {
    return error_response(base::not_found("there is nothing at " + request.path + (hint_.empty() ? "" : ", ") + hint_));
  }
  std::string list;
  for (const std::string_view method : allowed) list += (list.empty() ? "" : ", ") + std::string(method);
  Response response =
      error_response(base::Error{.code = base::Code::kMethodNotAllowed,
                                 .message = request.path + " does not take " + request.method + ", use " + list});
  response.headers.add("Allow", list);
  return response;
}

std::vector<Route> Router::routes() const {
  std::vector<Route> routes;
  for (const Entry& entry : entries_) routes.push_back(entry.route);
  return routes;
}

}  // namespace ebb::http
