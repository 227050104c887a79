#include "model/alias.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cstring>

#include "model/names.h"

namespace ebb::model {
namespace {

constexpr std::uint32_t kPercentMost = 99;

bool parse_number(std::string_view text, std::uint32_t& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size() && is_all_digits(text);
}

std::string shown(std::string_view text) { return "'" + std::string(text.substr(0, 64)) + "'"; }

}  // namespace

// The last eight bytes of an id are the kernel's randomness. A remainder of 2^64 favours no percent by more than 1e-17.
std::uint32_t version_for(const Alias& alias, const base::InvocationId& call) {
  if (alias.weight.version == 0) return alias.version;
  std::uint64_t draw = 0;
  std::memcpy(&draw, call.bytes.data() + call.bytes.size() - sizeof draw, sizeof draw);
  return draw % 100 < alias.weight.percent ? alias.weight.version : alias.version;
}

base::Result<std::uint32_t> parse_version_number(std::string_view text) {
  std::uint32_t number = 0;
  if (parse_number(text, number) && number > 0) return number;
  return base::invalid_argument(shown(text) + " is no version number: versions are numbers from 1");
}

base::Result<AliasWeight> parse_alias_weight(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) {
    return base::invalid_argument("weight is " + shown(text) + ": write VERSION=PERCENT, such as 4=10");
  }
  AliasWeight weight;
  EBB_TRY(weight.version, parse_version_number(text.substr(0, equals)));
  if (!parse_number(text.substr(equals + 1), weight.percent) || weight.percent < 1 || weight.percent > kPercentMost) {
    return base::invalid_argument("the percent of a weight is " + shown(text.substr(equals + 1)) +
                                  ": a whole number from 1 to " + std::to_string(kPercentMost) +
                                  "; for all calls set the alias to that version");
  }
  return weight;
}

bool is_all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

base::Result<void> check_alias_name(std::string_view text) {
  EBB_CHECKED(check_name("alias", text));
  if (is_all_digits(text)) {
    return base::invalid_argument(shown(text) + " cannot name an alias: a number is a version, use a letter");
  }
  if (text == kCurrentName) {
    return base::invalid_argument("'current' cannot name an alias: it is the current version, which ebb rollback sets");
  }
  return {};
}

base::Result<void> check_alias(const Alias& alias) {
  EBB_CHECKED(check_alias_name(alias.name));
  if (alias.weight.version == alias.version) {
    return base::invalid_argument("alias " + alias.name + " would stand for version " + std::to_string(alias.version) +
                                  " twice: give the weight of another version, or none");
  }
  return {};
}

boost::json::object to_json(const Alias& alias) {
  boost::json::value weight;
  if (alias.weight.version != 0) {
    weight = boost::json::object{{"version", alias.weight.version}, {"percent", alias.weight.percent}};
  }
  return {{"app", alias.app},         {"function", alias.function},  {"name", alias.name},
          {"version", alias.version}, {"weight", std::move(weight)}, {"updated", base::to_rfc3339(alias.updated)}};
}

}  // namespace ebb::model
