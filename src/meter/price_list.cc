#include "meter/price_list.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "base/limits_bill.h"
#include "model/yaml_tree.h"

namespace ebb::meter {
namespace {

using base::Result;
using model::YamlMap;
using model::YamlNode;

constexpr unsigned kWeightPlaces = 6;
constexpr unsigned kPricePlaces = 12;
constexpr std::uint64_t kWeightMost = 1'000'000;          // CU for one of a resource
constexpr std::uint64_t kPriceMost = 1'000'000;           // of the currency for one CU
constexpr std::uint64_t kCuMost = 1'000'000'000'000'000;  // a month

constexpr std::array<std::string_view, 2> kFileKeys = {"currency", "prices"};
constexpr std::array<std::string_view, 4> kListKeys = {"from", "cu", "free", "tiers"};
constexpr std::array<std::string_view, 5> kWeightKeys = {"vcpu_second", "gib_second", "call", "sleeping_vcpu_second",
                                                         "sleeping_gib_second"};
constexpr std::array<std::string_view, 2> kTierKeys = {"up_to", "price"};

Result<void> read_decimal(const YamlMap& map, std::string_view key, unsigned places, std::uint64_t most,
                          std::uint64_t& out) {
  const YamlNode* node = map.find(key);
  if (node == nullptr) return {};
  if (node->kind != YamlNode::Kind::kScalar) return map.error_at(key, "must be a decimal number");
  const auto value = parse_decimal(node->scalar, places, most);
  if (!value) return map.error_at(key, value.error().message);
  out = *value;
  return {};
}

Result<Weights> read_weights(const YamlNode& node, const std::string& path) {
  EBB_TRY(const YamlMap map, YamlMap::open(node, path, kWeightKeys));
  Weights weights;
  EBB_CHECKED(read_decimal(map, "vcpu_second", kWeightPlaces, kWeightMost, weights.vcpu_second));
  EBB_CHECKED(read_decimal(map, "gib_second", kWeightPlaces, kWeightMost, weights.gib_second));
  EBB_CHECKED(read_decimal(map, "call", kWeightPlaces, kWeightMost, weights.call));
  EBB_CHECKED(read_decimal(map, "sleeping_vcpu_second", kWeightPlaces, kWeightMost, weights.sleeping_vcpu_second));
  EBB_CHECKED(read_decimal(map, "sleeping_gib_second", kWeightPlaces, kWeightMost, weights.sleeping_gib_second));
  return weights;
}

Result<std::vector<Tier>> read_tiers(const YamlMap& list) {
  const YamlNode* node = list.find("tiers");
  if (node == nullptr) return list.error_at("tiers", "is missing, write [{price: 0.0001}] for one price");
  if (node->kind != YamlNode::Kind::kList || node->items.empty() || node->items.size() > limits::kPriceTiers) {
    return list.error_at("tiers", "must be a list of 1 to " + std::to_string(limits::kPriceTiers) + " tiers");
  }
  std::vector<Tier> tiers;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    EBB_TRY(const YamlMap map,
            YamlMap::open(node->items[i], list.path_of("tiers") + "[" + std::to_string(i) + "]", kTierKeys));
    Tier tier;
    if (map.find("price") == nullptr) return map.error_at("price", "is missing");
    EBB_CHECKED(read_decimal(map, "price", kPricePlaces, kPriceMost, tier.price));
    const bool last = i + 1 == node->items.size();
    if (map.find("up_to") != nullptr) {
      std::uint64_t up_to = 0;
      EBB_CHECKED(read_decimal(map, "up_to", 0, kCuMost, up_to));
      const std::uint64_t before = tiers.empty() ? 0 : *tiers.back().up_to;
      if (up_to <= before) {
        return map.error_at("up_to", "is " + std::to_string(up_to) + ", but the tier before ends at " +
                                         std::to_string(before) + ": tiers must ascend and not overlap");
      }
      tier.up_to = up_to;
    }
    if (!last && !tier.up_to) return map.error_at("up_to", "is missing: only the last tier has no end");
    if (last && tier.up_to) return map.error_at("up_to", "must be left out: the last tier has no end");
    tiers.push_back(tier);
  }
  return tiers;
}

Result<PriceList> read_list(const YamlNode& node, std::size_t index) {
  const std::string path = "prices[" + std::to_string(index) + "]";
  EBB_TRY(const YamlMap map, YamlMap::open(node, path, kListKeys));
  PriceList list;
  if (const YamlNode* from = map.find("from"); from != nullptr) {
    const auto day = parse_day(from->scalar);
    if (!day) return map.error_at("from", day.error().message);
    list.from = *day;
  }
  if (const YamlNode* weights = map.find("cu"); weights != nullptr) {
    EBB_TRY(list.weights, read_weights(*weights, map.path_of("cu")));
  }
  EBB_CHECKED(read_decimal(map, "free", 0, kCuMost, list.free_cu));
  EBB_TRY(list.tiers, read_tiers(map));
  return list;
}

bool is_currency(std::string_view text) {
  if (text.empty() || text.size() > 8) return false;
  for (const char c : text) {
    if (c < 'A' || c > 'Z') return false;
  }
  return true;
}

}  // namespace

std::size_t Prices::list_on(Day day) const {
  std::size_t at = lists.size() - 1;
  while (at > 0 && lists[at].from && *lists[at].from > day) --at;
  return at;
}

Result<Prices> parse_prices(std::string_view yaml) {
  EBB_TRY(const YamlNode root, model::parse_yaml(yaml));
  if (root.kind == YamlNode::Kind::kNull) return base::invalid_argument("the price file is empty");
  EBB_TRY(const YamlMap map, YamlMap::open(root, "", kFileKeys));
  Prices prices;
  EBB_CHECKED(map.read("currency", prices.currency));
  if (!is_currency(prices.currency)) return map.error_at("currency", "must be 1 to 8 capital letters, such as EUR");
  const YamlNode* lists = map.find("prices");
  if (lists == nullptr || lists->kind != YamlNode::Kind::kList || lists->items.empty() ||
      lists->items.size() > limits::kPriceLists) {
    return map.error_at("prices", "must be a list of 1 to " + std::to_string(limits::kPriceLists) + " price lists");
  }
  prices.lists.clear();
  for (std::size_t i = 0; i < lists->items.size(); ++i) {
    EBB_TRY(PriceList list, read_list(lists->items[i], i));
    if (i == 0 && list.from) prices.lists.push_back(PriceList{});
    if (i > 0 && !list.from) {
      return model::yaml_error(lists->items[i].line, "prices[" + std::to_string(i) + "].from",
                               "is missing: only the first list may be in effect since ever");
    }
    if (i > 0 && prices.lists.back().from && *prices.lists.back().from >= *list.from) {
      return model::yaml_error(lists->items[i].line, "prices[" + std::to_string(i) + "].from",
                               "is " + day_text(*list.from) + ", not later than " +
                                   day_text(*prices.lists.back().from) +
                                   " of the list before: lists must be in the order of their days");
    }
    prices.lists.push_back(std::move(list));
  }
  return prices;
}

Result<Prices> load_prices(const std::string& path) {
  if (path.empty()) return Prices{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::not_found("the price file " + path + " cannot be read");
  std::stringstream text;
  text << file.rdbuf();
  auto prices = parse_prices(text.view());
  if (prices) return prices;
  base::Error error = prices.error();
  error.message = path + ": " + error.message;
  return error;
}

Result<Day> parse_day(std::string_view text) {
  const auto bad = [&] {
    return base::invalid_argument("is '" + std::string(text.substr(0, 40)) + "', write a day such as 2026-11-01");
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return bad();
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  const auto number = [&](std::size_t at, std::size_t length, auto& out) {
    const char* const end = text.data() + at + length;
    const auto read = std::from_chars(text.data() + at, end, out);
    return read.ec == std::errc{} && read.ptr == end;
  };
  if (!number(0, 4, year) || !number(5, 2, month) || !number(8, 2, day) || year < 1970) return bad();
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) return bad();
  return Day{std::chrono::sys_days(date).time_since_epoch().count()};
}

std::string day_text(Day day) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  std::array<char, 40> text{};
  const int length = std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                                   static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return std::string(text.data(), static_cast<std::size_t>(length));
}

Result<std::uint64_t> parse_decimal(std::string_view text, unsigned places, std::uint64_t most) {
  const std::string shown = "is '" + std::string(text.substr(0, 40)) + "', ";
  if (text.starts_with('-')) return base::invalid_argument(shown + "it must not be negative");
  const auto point = text.find('.');
  const std::string_view whole_text = text.substr(0, point);
  std::string fraction(point == std::string_view::npos ? std::string_view() : text.substr(point + 1));
  const auto digits = [](std::string_view part) { return part.find_first_not_of("0123456789") == std::string::npos; };
  if (whole_text.empty() || !digits(whole_text) || !digits(fraction) ||
      (point != std::string_view::npos && fraction.empty())) {
    return base::invalid_argument(shown + "write a decimal number such as " + (places == 0 ? "1000" : "0.00012"));
  }
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (fraction.size() > places) {
    return base::invalid_argument(
        shown + (places == 0 ? "it must be a whole number" : "at most " + std::to_string(places) + " decimals count"));
  }
  fraction.append(places - fraction.size(), '0');
  std::uint64_t whole = 0;
  const auto read = std::from_chars(whole_text.data(), whole_text.data() + whole_text.size(), whole);
  if (read.ec != std::errc{} || whole > most || (whole == most && fraction.find_first_not_of('0') != std::string::npos))
    return base::invalid_argument(shown + "which is absurd: at most " + std::to_string(most));
  std::uint64_t unit = 1;
  for (unsigned i = 0; i < places; ++i) unit *= 10;
  std::uint64_t part = 0;
  std::from_chars(fraction.data(), fraction.data() + fraction.size(), part);
  return whole * unit + part;
}

std::string decimal_text(std::uint64_t value, unsigned places) {
  std::string digits = std::to_string(value);
  if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
  std::string text = digits.substr(0, digits.size() - places);
  std::string fraction = digits.substr(digits.size() - places);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return fraction.empty() ? text : text + "." + fraction;
}

}  // namespace ebb::meter
