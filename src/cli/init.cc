// `ebb init TEMPLATE [DIR]`: a new folder with a function that works, and what to do with it. It talks to no node, and
// never writes over anything: the folder is new or empty, and every file is created.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/commands.h"
#include "cli/templates.h"
#include "http/error_response.h"
#include "model/names.h"
#include "model/suggestion.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string name;
  std::string folder;
  std::string app;
  bool list = false;
};

base::Result<Template> template_named(const std::string& name) {
  std::vector<std::string_view> known;
  for (const Template& one : templates()) {
    if (one.name == name) return one;
    known.push_back(one.name);
  }
  if (name.empty()) return base::invalid_argument("say which template: ebb init --list names them");
  return base::invalid_argument("no template '" + name + "', " + model::suggestion_for(name, known) +
                                "; ebb init --list says what each is");
}

// The folder's name where that can name an app, else the one that the template has already.
base::Result<std::string> app_name(const Options& options, const fs::path& folder) {
  if (!options.app.empty()) {
    EBB_CHECKED(model::check_name("app", options.app));
    return options.app;
  }
  std::error_code failed;
  std::string last = fs::absolute(folder, failed).lexically_normal().filename().string();
  if (last.empty()) last = fs::absolute(folder, failed).lexically_normal().parent_path().filename().string();
  return model::is_name(last) ? last : std::string();
}

// In ebb.yaml the first line says the app's name; `app` becomes the one it says when it is empty.
std::string content_of(const TemplateFile& file, std::string& app) {
  constexpr std::string_view kApp = "app: ";
  if (file.path != "ebb.yaml" || !file.content.starts_with(kApp)) return std::string(file.content);
  const std::size_t end = file.content.find('\n');
  if (app.empty()) app = file.content.substr(kApp.size(), end - kApp.size());
  return std::string(kApp) + app + std::string(file.content.substr(end));
}

base::Result<> write_new(const fs::path& path, const std::string& content, bool executable) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, executable ? 0777 : 0666);
  if (fd < 0) return base::os_error("cannot create " + path.string(), errno);
  std::size_t written = 0;
  int failed = 0;
  while (written < content.size() && failed == 0) {
    const ssize_t count = ::write(fd, content.data() + written, content.size() - written);
    if (count > 0) written += static_cast<std::size_t>(count);
    if (count < 0 && errno != EINTR) failed = errno;
  }
  if (::close(fd) != 0 && failed == 0) failed = errno;
  if (failed == 0) return {};
  return base::os_error("cannot write " + path.string(), failed);
}

base::Result<> claim(const fs::path& folder) {
  std::error_code failed;
  if (fs::exists(folder, failed) && !fs::is_directory(folder, failed)) {
    return base::Error{.code = base::Code::kConflict, .message = folder.string() + " is no folder: name a new one"};
  }
  fs::create_directories(folder, failed);
  if (failed) return base::os_error("cannot make the folder " + folder.string(), failed.value());
  const bool empty = fs::is_empty(folder, failed);
  if (failed) return base::os_error("cannot read the folder " + folder.string(), failed.value());
  if (empty) return {};
  return base::Error{
      .code = base::Code::kConflict,
      .message = "the folder " + folder.string() + " is not empty, and nothing is written over: name a new one"};
}

// What was made is taken away again when it did not come to its end.
base::Result<std::vector<std::string>> write_files(const Template& chosen, const fs::path& folder, std::string& app) {
  std::vector<std::string> made;
  base::Result<> wrote;
  for (const TemplateFile& file : template_files()) {
    if (file.example != chosen.example) continue;
    const fs::path path = folder / file.path;
    std::error_code failed;
    fs::create_directories(path.parent_path(), failed);
    wrote = failed ? base::os_error("cannot make the folder " + path.parent_path().string(), failed.value())
                   : write_new(path, content_of(file, app), file.executable);
    if (!wrote) break;
    made.emplace_back(file.path);
  }
  if (wrote) return made;
  std::error_code ignored;
  for (const std::string& path : made) fs::remove(folder / path, ignored);
  return wrote.error();
}

std::string shell_quoted(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-+:=@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::vector<std::string> next_steps(const Session& session, const Template& chosen, const std::string& folder,
                                    const std::string& app) {
  std::vector<std::string> steps = {"cd " + shell_quoted(folder)};
  for (const std::string_view step : chosen.before) steps.emplace_back(step);
  steps.emplace_back("ebb deploy");
  const auto bar = chosen.call.find('|');
  const std::string url = session.url + "/fn/" + app + std::string(chosen.call.substr(bar + 1));
  steps.push_back("curl " + std::string(chosen.call.substr(0, bar)) + " " + shell_quoted(url));
  steps.push_back("ebb logs " + app);
  return steps;
}

template <typename Texts>
std::string json_list(const Texts& texts) {
  std::string list = "[";
  for (const auto& text : texts) list += (list.size() == 1 ? "" : ",") + http::json_quoted(text);
  return list + "]";
}

int list_templates(const Session& session) {
  Table table({"TEMPLATE", "WHAT"});
  std::string json;
  for (const Template& one : templates()) {
    table.add({std::string(one.name), std::string(one.about)});
    json += (json.empty() ? "" : ",");
    json += "{\"name\":" + http::json_quoted(one.name) + ",\"about\":" + http::json_quoted(one.about) + "}";
  }
  print_out(session.json ? "{\"templates\":[" + json + "]}\n" : table.text(session.terminal));
  return 0;
}

base::Result<int> init(const Session& session, const Options& options) {
  if (options.list) return list_templates(session);
  EBB_TRY(const Template chosen, template_named(options.name));
  const std::string folder = options.folder.empty() ? options.name : options.folder;
  EBB_TRY(std::string app, app_name(options, folder));
  EBB_CHECKED(claim(folder));
  EBB_TRY(const std::vector<std::string> files, write_files(chosen, folder, app));
  const std::vector<std::string> steps = next_steps(session, chosen, folder, app);
  if (session.json) {
    print_out("{\"template\":" + http::json_quoted(chosen.name) + ",\"folder\":" + http::json_quoted(folder) +
              ",\"app\":" + http::json_quoted(app) + ",\"files\":" + json_list(files) +
              ",\"next\":" + json_list(steps) + "}\n");
    return 0;
  }
  std::string text = harmless(folder) + " is now " + std::string(chosen.about) + ", the app " + app + ":\n";
  for (const std::string& file : files) text += "  " + file + "\n";
  text += "next:\n";
  for (const std::string& step : steps) text += "  " + harmless(step) + "\n";
  print_out(text + "more: docs/tasks/" + std::string(chosen.page) + "\n");
  return 0;
}

}  // namespace

void add_init(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("init", "Begin a new folder with a function that works");
  command->group("Deploy and call");
  command->add_option("template", options->name, "What to begin with: see --list")->type_name("");
  command->add_option("folder", options->folder, "A new or empty folder; default: the template's name")->type_name("");
  command->add_option("--app", options->app, "The app's name; default: the folder's")->type_name("APP");
  command->add_flag("--list", options->list, "Say which templates there are");
  add_common_options(*command, session);
  command->callback([&session, options] { session.action = [&session, options] { return init(session, *options); }; });
}

}  // namespace ebb::cli
