// Router: method and path pattern to handler.
//
// 1. Patterns: "/api/v1/apps/{app}/functions/{function}", and at the end "{path...}", which takes the rest, also an
// empty one.
//    A literal segment beats a parameter, a parameter beats a rest. The method "*" takes every method.
// 2. Paths are matched segment by segment before percent-decoding: an encoded slash never makes a segment.
// 3. Filled once, then only read: any core may route.
// Called by the gateway, whose OpenAPI test compares routes() with the file.
#pragma once

#include <boost/container/small_vector.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"
#include "io/task.h"

namespace ebb::http {

/// What the parameters of a pattern matched.
class PathParams {
 public:
  /// Percent-decoded. The name is one of the pattern's: anything else is a bug.
  const std::string& operator[](std::string_view name) const;
  /// As it stood in the path.
  const std::string& raw(std::string_view name) const;

 private:
  friend class Router;
  struct Param {
    std::string_view name;  // the pattern's
    std::string value;
    std::string raw;
  };
  const Param& find(std::string_view name) const;

  std::vector<Param> params_;
};

using RouteHandler = std::function<io::Task<Response>(Request, PathParams)>;

struct Route {
  std::string method;
  std::string pattern;
};

class Router {
 public:
  /// `hint` ends the sentence of a 404: where to look instead.
  explicit Router(std::string hint = {}) : hint_(std::move(hint)) {}

  /// Errors: kInvalidArgument for a malformed pattern, kConflict for a route that is there, kTooLarge beyond
  /// kHttpRoutes.
  base::Result<> add(std::string method, std::string pattern, RouteHandler handler);

  /// Routes the request; itself a Handler. 404 for an unknown path, 405 with Allow for a known one, 400 for a broken
  /// escape. A HEAD without a route of its own goes to the GET. The Router must outlive the task.
  io::Task<Response> route(Request request) const;

  /// Every route in the order added.
  std::vector<Route> routes() const;

 private:
  enum class Kind : std::uint8_t { kLiteral, kParam, kRest };  // in the order of precedence
  struct Segment {
    Kind kind;
    std::string text;  // the literal, or the parameter's name
  };
  struct Entry {
    Route route;
    std::vector<Segment> segments;
    RouteHandler handler;
  };

  using Path = boost::container::small_vector<std::string_view, 12>;  // its segments; most paths have no more

  static Path split(std::string_view path);
  static base::Result<std::vector<Segment>> parse(std::string_view pattern);
  static bool matches(const Entry& entry, const Path& segments);
  static bool precedes(const Entry& a, const Entry& b);
  static base::Result<PathParams> params_of(const Entry& entry, const Path& segments, std::string_view path);
  Response refusal(const Request& request, const Path& segments) const;

  std::string hint_;
  std::vector<Entry> entries_;
};

}  // namespace ebb::http
