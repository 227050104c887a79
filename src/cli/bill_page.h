// A bill, as GET /api/v1/bill answers it, as text for people and for spreadsheets. Nothing is computed here: every
// number is shown as the daemon wrote it. Called by bill.cc.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "cli/terminal.h"

namespace ebb::cli {

/// For a terminal.
std::string bill_table(const boost::json::object& bill, const Terminal& terminal);
/// What was held, a line per version, of one function or of all (""); of a bill by version.
std::string held_table(const boost::json::object& bill, const std::string& function, const Terminal& terminal);
/// One line per line of the bill, with a head; RFC 4180.
std::string bill_csv(const boost::json::object& bill);
/// A page on its own: no script, nothing loaded from elsewhere.
std::string bill_html(const boost::json::object& bill);

}  // namespace ebb::cli
