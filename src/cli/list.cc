// `ebb ls`: what is deployed and what runs.
#include <boost/json/array.hpp>
#include <memory>

#include "cli/commands.h"

namespace ebb::cli {
namespace {

std::string instances_text(const boost::json::object& function) {
  const auto* member = function.if_contains("instances");
  if (member == nullptr || !member->is_object()) return "-";
  const boost::json::object& instances = member->get_object();
  const std::uint64_t busy = count_of(instances, "busy");
  const std::uint64_t spare = count_of(instances, "spare");
  const std::uint64_t all = busy + count_of(instances, "idle") + count_of(instances, "starting") + spare;
  std::string what = busy > 0 ? std::to_string(busy) + " busy" : "";
  if (spare > 0) what += (what.empty() ? "" : ", ") + std::to_string(spare) + " spare";
  return std::to_string(all) + (what.empty() ? "" : " (" + what + ")");
}

// Apps that reserve or bound something as a whole; "" where none does.
std::string apps_text(const Session& session, const boost::json::object& answer) {
  Table table({"APP", "INSTANCES", "RESERVE", "MAX_INSTANCES"});
  bool some = false;
  for (const auto* app : objects_in(answer, "apps")) {
    const std::uint64_t reserve = count_of(*app, "reserve");
    const std::uint64_t most = count_of(*app, "max_instances");
    if (reserve == 0 && most == 0) continue;
    some = true;
    table.add({text_of(*app, "app"), std::to_string(count_of(*app, "instances")),
               reserve == 0 ? "-" : std::to_string(reserve), most == 0 ? "-" : std::to_string(most)});
  }
  return some ? "\n" + table.text(session.terminal) : "";
}

// "a/f: every 30s, next at 2026-12-01T06:00:00.000Z", a line each.
std::string timers_text(const boost::json::object& function) {
  const auto* timers = function.if_contains("timers");
  if (timers == nullptr || !timers->is_array()) return {};
  std::string lines;
  for (const auto& value : timers->get_array()) {
    const auto* timer = value.if_object();
    if (timer == nullptr) continue;
    const std::string next = text_of(*timer, "next");
    lines += text_of(function, "app") + "/" + text_of(function, "function") + ": " + text_of(*timer, "timer") +
             (next.empty() ? ", never: this node does not know its zone" : ", next at " + next) + "\n";
  }
  return lines;
}

base::Result<int> list(const Session& session, const std::string& app) {
  Subject subject;
  if (!app.empty()) {
    EBB_TRY(subject, parse_subject(app));
    if (!subject.function.empty())
      return base::invalid_argument("ls takes an APP, not a function: ebb ls " + subject.app);
  }
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/functions" + query_of(subject)));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  const auto* functions = answer.object.if_contains("functions");
  if (functions == nullptr || !functions->is_array() || functions->get_array().empty()) {
    print_out((app.empty() ? std::string("nothing is deployed") : "app " + app + " has no functions") +
              ", try: ebb deploy FOLDER\n");
    return 0;
  }
  Table table({"APP", "FUNCTION", "VERSION", "ZYGOTE", "INSTANCES", "QUEUED", "URL"});
  std::string notes;
  std::string timers;
  for (const auto& value : functions->get_array()) {
    const auto* function = value.if_object();
    if (function == nullptr) continue;
    table.add({text_of(*function, "app"), text_of(*function, "function"),
               std::to_string(count_of(*function, "version")), text_of(*function, "zygote"), instances_text(*function),
               std::to_string(count_of(*function, "queued")), session.rest().url() + text_of(*function, "path")});
    timers += timers_text(*function);
    const std::string note = text_of(*function, "zygote_note");
    if (!note.empty()) notes += text_of(*function, "app") + "/" + text_of(*function, "function") + ": " + note + "\n";
  }
  print_out(table.text(session.terminal) + apps_text(session, answer.object));
  if (!timers.empty()) print_out("\ntimers\n" + harmless(timers));
  if (!notes.empty()) print_out("\n" + session.terminal.on_out(Colour::kYellow, harmless(notes)));
  return 0;
}

}  // namespace

void add_list(CLI::App& app, Session& session) {
  auto subject = std::make_shared<std::string>();
  auto* command = app.add_subcommand("ls", "List functions, what runs of them, and their URLs");
  command->group("Look");
  command->add_option("app", *subject, "APP: only its functions")->type_name("");
  add_common_options(*command, session);
  command->callback([&session, subject] { session.action = [&session, subject] { return list(session, *subject); }; });
}

}  // namespace ebb::cli
