#include "model/contract.h"

#include <boost/json.hpp>

#include "base/limits_contract.h"
#include "model/json_fields.h"

namespace ebb::model {
namespace {

namespace json = boost::json;

std::optional<LifecycleViolation> beyond(std::string_view key, base::Duration value, base::Duration most) {
  if (value >= base::Duration::zero() && value <= most) return std::nullopt;
  return LifecycleViolation{key, "is " + base::to_string(value) + ", it must be from 0 to " + base::to_string(most)};
}

}  // namespace

std::string_view name_of(Contract contract) { return contract == Contract::kFc ? "fc" : "plain"; }

std::optional<Contract> contract_named(std::string_view name) {
  if (name == "plain") return Contract::kPlain;
  if (name == "fc") return Contract::kFc;
  return std::nullopt;
}

std::optional<LifecycleViolation> first_violation(const Lifecycle& lifecycle) {
  if (auto wrong = beyond("initialize", lifecycle.initialize, limits::kInitializeTimeoutMax)) return wrong;
  return beyond("pre_stop", lifecycle.pre_stop, limits::kPreStopTimeoutMax);
}

json::object to_json(const Lifecycle& lifecycle) {
  return json::object{{"initialize", base::to_string(lifecycle.initialize)},
                      {"pre_stop", base::to_string(lifecycle.pre_stop)}};
}

base::Result<Lifecycle> lifecycle_from_json(const json::object& object) {
  Lifecycle lifecycle;
  EBB_CHECKED(read_field(object, "initialize", lifecycle.initialize));
  EBB_CHECKED(read_field(object, "pre_stop", lifecycle.pre_stop));
  return lifecycle;
}

}  // namespace ebb::model
