#include "cli/event.h"

#include <boost/json/parse.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

namespace ebb::cli {

void add_event_options(CLI::App& command, EventOptions& options) {
  auto* data = command.add_option("--data", options.data, "The event, as JSON (default {})")->type_name("JSON");
  command.add_option("--data-file", options.data_file, "The event, from a file; - reads standard input")
      ->type_name("FILE")
      ->excludes(data);
}

base::Result<std::string> read_event(const EventOptions& options) {
  if (options.data_file.empty()) return options.data;
  std::ostringstream text;
  if (options.data_file == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(options.data_file, std::ios::binary);
  if (file) text << file.rdbuf();
  if (!file) return base::not_found("cannot read " + options.data_file + ", give an existing file with --data-file");
  return text.str();
}

base::Result<std::string> read_json_event(const EventOptions& options) {
  EBB_TRY(std::string event, read_event(options));
  if (event.empty()) return std::string("{}");
  boost::system::error_code failed;
  boost::json::parse(event, failed);
  if (!failed) return event;
  return base::invalid_argument("the event is not JSON (" + failed.message() +
                                "): quote it for the shell, or send bytes as they are with --raw");
}

}  // namespace ebb::cli
