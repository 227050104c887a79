// What was called and used, minute by minute: of a recorded day, or of a node's usage records.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sim/trace.h"

namespace ebb::cost {

struct Minute {
  double calls = 0;
  double cu = 0;
  double vcpu = 0;       // of the functions' shares, in use on average over the minute
  double gb = 0;         // the same of their memory
  double held_gb = 0;    // memory that zygotes and instances had of their own, on average over the minute
  double active_gb = 0;  // of it, instances that started or were at work
};

struct Traffic {
  std::string source;  // for the head of a report
  std::vector<Minute> minutes{};
  double calls() const;
  double cu() const;
  bool has_held() const;
};

/// What functions of a trace are taken to be given, for it does not say.
struct Given {
  double cpu = 1;              // cores of each
  double memory_share = 1.25;  // of the memory that it used on average; at least 16 MiB
};

/// Every call is billed the mean run time of its function.
Traffic traffic_of(const sim::Trace& trace, const std::string& name, const Given& given);

/// Adds up usage records, one JSON object a line, as they are read. Records that are not closed count as calls only,
/// those of what was held as no call.
class RecordReader {
 public:
  /// Any piece of the text; lines may be cut anywhere. Errors: kInvalidArgument for what is no usage record.
  base::Result<> read(std::string_view piece);
  /// From the first to the last minute that had a call. Errors: kInvalidArgument when the text ends within a record.
  base::Result<Traffic> finish(std::string source);

 private:
  base::Result<> take(std::string_view line);
  /// Made if it is not there. Errors: kInvalidArgument when it is too far from the others.
  base::Result<Minute*> minute_at(std::int64_t at);
  base::Result<> take_held(const boost::json::object& record, std::int64_t minute, double second);

  std::string rest_;
  std::int64_t first_ = 0;  // minutes since 1970
  std::vector<Minute> minutes_;
};

}  // namespace ebb::cost
