#include "model/scale.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/limits.h"
#include "model/cron.h"
#include "model/json_fields.h"

namespace ebb::model {

namespace json = boost::json;

namespace {

std::optional<ScaleViolation> window_violation(const ScaleWindow& window, const Scale& scale) {
  if (const auto from = Cron::parse(window.from); !from) return ScaleViolation{"from", from.error().message};
  if (window.length < std::chrono::minutes(1) || window.length > limits::kScaleWindowMax) {
    return ScaleViolation{"for", "is " + base::to_string(window.length) + ", it must be from 1m to " +
                                     base::to_string(limits::kScaleWindowMax)};
  }
  if (window.min < 1 || window.min > scale.max) {
    return ScaleViolation{"min", "is " + std::to_string(window.min) + ", it must be from 1 to scale.max, which is " +
                                     std::to_string(scale.max)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<ScaleViolation> first_violation(const Scale& scale) {
  if (scale.max < 1 || scale.max > limits::kInstancesPerFunction) {
    return ScaleViolation{"max", "is " + std::to_string(scale.max) + ", it must be from 1 to " +
                                     std::to_string(limits::kInstancesPerFunction)};
  }
  if (scale.min > scale.max) {
    return ScaleViolation{
        "min", "is " + std::to_string(scale.min) + ", more than scale.max which is " + std::to_string(scale.max)};
  }
  if (scale.reserve > scale.max) {
    return ScaleViolation{"reserve", "is " + std::to_string(scale.reserve) + ", more than scale.max which is " +
                                         std::to_string(scale.max)};
  }
  if (scale.windows.size() > limits::kScaleWindows) {
    return ScaleViolation{"windows", "has " + std::to_string(scale.windows.size()) + " entries, the limit is " +
                                         std::to_string(limits::kScaleWindows)};
  }
  for (std::size_t i = 0; i < scale.windows.size(); ++i) {
    if (auto wrong = window_violation(scale.windows[i], scale)) {
      wrong->key = "windows[" + std::to_string(i) + "]." + wrong->key;
      return wrong;
    }
  }
  return std::nullopt;
}

json::object to_json(const Scale& scale) {
  json::object object{{"min", scale.min}, {"max", scale.max}};
  if (scale.reserve > 0) object.emplace("reserve", scale.reserve);
  if (scale.windows.empty()) return object;
  json::array windows;
  for (const ScaleWindow& window : scale.windows) {
    windows.push_back(json::object{
        {"from", window.from}, {"for", base::to_string(window.length)}, {"min", window.min}, {"zone", window.zone}});
  }
  object.emplace("windows", std::move(windows));
  return object;
}

base::Result<Scale> scale_from_json(const json::object& object) {
  Scale scale;
  EBB_CHECKED(read_field(object, "min", scale.min));
  EBB_CHECKED(read_field(object, "max", scale.max));
  EBB_CHECKED(read_field(object, "reserve", scale.reserve));
  const json::value* windows = object.if_contains("windows");
  if (windows == nullptr) return scale;
  if (!windows->is_array()) return base::invalid_argument("scale.windows must be a list");
  for (const json::value& item : windows->get_array()) {
    if (!item.is_object()) return base::invalid_argument("scale.windows must hold objects");
    ScaleWindow window;
    EBB_CHECKED(read_field(item.get_object(), "from", window.from));
    EBB_CHECKED(read_field(item.get_object(), "for", window.length));
    EBB_CHECKED(read_field(item.get_object(), "min", window.min));
    EBB_CHECKED(read_field(item.get_object(), "zone", window.zone));
    scale.windows.push_back(std::move(window));
  }
  return scale;
}

}  // namespace ebb::model
