// `ebb deploy`: reads ebb.yaml first, so that a mistake costs no upload; packs, uploads, follows the deployment to its
// end. `ebb build`: the same as far as the build.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/deploy_image.h"
#include "cli/deploy_zip.h"
#include "cli/pack.h"
#include "model/manifest.h"

namespace ebb::cli {
namespace {

constexpr auto kUploadLimit = std::chrono::minutes(30);
constexpr auto kDeployLimit = 2 * limits::kBuildTimeout;  // layer and build one after the other
constexpr int kPollMs = 5'000;

base::Result<model::Manifest> read_manifest(const std::string& folder) {
  const std::string path = folder + "/ebb.yaml";
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) {
    return base::not_found(folder + " is not a folder: name the folder that holds ebb.yaml");
  }
  if (!std::filesystem::exists(path, failed)) {
    const bool yml = std::filesystem::exists(folder + "/ebb.yml", failed);
    return base::not_found(
        "there is no ebb.yaml in " + folder +
        (yml ? ", rename ebb.yml to ebb.yaml" : ": go to the folder of your app or name it, ebb deploy FOLDER"));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return base::invalid_argument("cannot read " + path);
  auto manifest = model::parse_manifest(text.str());
  if (!manifest) {
    base::Error error = manifest.error();
    error.message = path + ": " + error.message;
    return error;
  }
  return manifest;
}

class Deployment {
 public:
  explicit Deployment(const Session& session, bool build_only = false, std::string organisation = {})
      : session_(session),
        rest_(session.rest()),
        build_only_(build_only),
        organisation_(std::move(organisation)),
        line_(session.terminal.err && !session.json) {}

  base::Result<int> run(const std::string& folder) {
    EBB_TRY(const model::Manifest manifest, read_manifest(folder));
    // What a function in JavaScript requires lies there, and nobody else puts it there.
    const bool node = std::any_of(manifest.functions.begin(), manifest.functions.end(),
                                  [](const model::FunctionSpec& spec) { return spec.runtime == "node"; });
    for (const model::FunctionSpec& spec : manifest.functions) {
      if (spec.runtime == "model") models_.insert(spec.name);
    }
    EBB_TRY(Package package, pack_folder(folder, node));
    return send(manifest.app, std::move(package));
  }

  base::Result<int> run(const ImageOptions& image) {
    EBB_TRY(ImagePackage made, pack_image(session_, image));
    return send(made.app, std::move(made.package));
  }

  base::Result<int> run(const ZipOptions& zip) {
    EBB_TRY(const Scratch folder, unpack_zip(session_, zip));
    return run(folder.path().string());
  }

  base::Result<int> watch(std::uint64_t id) {
    EBB_TRY(boost::json::object status, follow(id));
    return conclude(std::move(status));
  }

 private:
  base::Result<int> send(const std::string& app, Package package) {
    say((build_only_ ? "building " : "deploying ") + app + ": " + std::to_string(package.files) + " files, " +
        size_text(package.archive.size()) + " to upload");
    EBB_TRY(const std::uint64_t id, upload(std::move(package.archive)));
    return watch(id);
  }

  void say(const std::string& text) {
    line_.clear();
    if (!session_.json) print_err(text + "\n");
  }

  base::Result<std::uint64_t> upload(std::string archive) {
    const std::uint64_t all = archive.size();
    http::ClientRequest request{.method = "POST", .url = "/api/v1/deployments"};
    if (build_only_) request.url += "?only=build";
    if (!organisation_.empty()) request.url += "?organisation=" + encoded(organisation_);
    request.headers.add("Content-Type", "application/gzip");
    request.body = std::move(archive);
    request.on_sent = [this, all](std::uint64_t sent) { line_.show_bar("uploading", sent, all); };
    auto response = rest_.call(std::move(request), kUploadLimit);
    line_.clear();
    if (!response) return response.error();
    EBB_TRY(const boost::json::object answer, json_object(response->body));
    return count_of(answer, "id");
  }

  // Shows every step once, and gives the last status.
  base::Result<boost::json::object> follow(std::uint64_t id) {
    const base::SteadyTime began = base::steady_now();
    std::uint64_t after = 0;
    for (;;) {
      const std::string path = "/api/v1/deployments/" + std::to_string(id) + "?wait_ms=" + std::to_string(kPollMs) +
                               "&after=" + std::to_string(after);
      EBB_TRY(Rest::Document status, rest_.get(path));
      show_events(status.object, after);
      if (text_of(status.object, "state") != "running") return std::move(status.object);
      if (base::steady_now() - began > kDeployLimit) {
        return base::Error{.code = base::Code::kDeadlineExceeded,
                           .message = "deployment " + std::to_string(id) + " is not done after " +
                                      base::to_string(base::Duration(kDeployLimit)) + ", it goes on: see ebb ls"};
      }
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(base::steady_now() - began).count();
      line_.show("  " + last_ + " ... " + std::to_string(seconds) + " s");
    }
  }

  void show_events(const boost::json::object& status, std::uint64_t& after) {
    const auto* events = status.if_contains("events");
    if (events == nullptr || !events->is_array()) return;
    for (const auto& value : events->get_array()) {
      const auto* event = value.if_object();
      if (event == nullptr) continue;
      after = std::max(after, count_of(*event, "sequence"));
      events_.push_back(value);
      last_ = text_of(*event, "phase");
      std::string phase = last_;
      phase.resize(std::max<std::size_t>(phase.size(), 8), ' ');
      say("  " + session_.terminal.on_err(Colour::kDim, harmless(phase)) + " " + harmless(text_of(*event, "message")));
    }
  }

  base::Result<int> conclude(boost::json::object status) {
    line_.clear();
    if (auto* functions = status.if_contains("functions"); functions != nullptr && functions->is_array()) {
      for (auto& value : functions->get_array()) {
        if (auto* function = value.if_object()) (*function)["url"] = rest_.url() + text_of(*function, "path");
      }
    }
    const bool failed = text_of(status, "state") != "succeeded";
    if (session_.json) {
      status["events"] = events_;
      print_out(boost::json::serialize(status) + "\n");
    }
    const auto* error = status.if_contains("error");  // not before: a new member moves the others
    if (failed) return failure(error != nullptr ? error->if_object() : nullptr);
    if (session_.json) return 0;
    if (build_only_) {
      print_built(status);
    } else {
      print_functions(status);
    }
    return 0;
  }

  base::Result<int> failure(const boost::json::object* error) {
    if (error == nullptr) return base::internal("the deployment failed and the server does not say why, see its log");
    const std::string detail = text_of(*error, "detail");
    if (!detail.empty() && !session_.json) print_err("\n" + harmless(detail) + (detail.back() == '\n' ? "\n" : "\n\n"));
    return base::Error{.code = base::code_named(text_of(*error, "code")),
                       .message = text_of(*error, "message") + "; nothing was changed"};
  }

  void print_built(const boost::json::object& status) {
    const std::string layer = text_of(status, "layer");
    print_out(session_.terminal.on_out(Colour::kGreen, text_of(status, "app")) + " built\n  code         " +
              text_of(status, "package") + "\n  requirements " + (layer.empty() ? "none" : layer) + "\n");
    if (session_.terminal.err) print_err("`ebb deploy` of the same takes it from there\n");
  }

  // Where a model is described, by the Open Inference Protocol.
  static std::string model_url(const boost::json::object& function) {
    return text_of(function, "url") + "v2/models/" + text_of(function, "function");
  }

  void print_functions(const boost::json::object& status) {
    const auto* functions = status.if_contains("functions");
    if (functions == nullptr || !functions->is_array()) return;
    const std::string app = text_of(status, "app");
    std::string call;
    for (const auto& value : functions->get_array()) {
      const auto* function = value.if_object();
      if (function == nullptr) continue;
      const std::string name = app + "/" + text_of(*function, "function");
      const std::string unchanged = flag_of(*function, "unchanged") ? " (unchanged)" : "";
      print_out(session_.terminal.on_out(Colour::kGreen, name) + " version " +
                std::to_string(count_of(*function, "version")) + unchanged + "  " + text_of(*function, "url") + "\n");
      const std::string note = text_of(*function, "note");
      if (!note.empty()) print_out("  " + session_.terminal.on_out(Colour::kYellow, "note: " + harmless(note)) + "\n");
      const bool is_model = models_.contains(text_of(*function, "function"));
      if (call.empty()) call = (is_model ? "curl " + model_url(*function) : "ebb invoke " + name);
      if (is_model) print_out("  inputs and outputs: " + model_url(*function) + "  inference: POST to .../infer\n");
    }
    if (session_.terminal.err) print_err("call it: " + call + "    watch it: ebb logs -f " + app + "\n");
  }

  const Session& session_;
  const Rest rest_;
  const bool build_only_;
  const std::string organisation_;  // "": that of the key
  ProgressLine line_;
  boost::json::array events_;
  std::string last_ = "waiting";
  std::set<std::string> models_;  // functions that are a model
};

std::string folder_of(const std::string& given) { return given.empty() ? "." : given; }

}  // namespace

base::Result<int> follow_deployment(const Session& session, std::uint64_t id) { return Deployment(session).watch(id); }

void add_deploy(CLI::App& app, Session& session) {
  auto subject = std::make_shared<std::string>();
  auto image = std::make_shared<ImageOptions>();
  auto zip = std::make_shared<ZipOptions>();
  auto runtime = std::make_shared<std::string>();
  auto memory = std::make_shared<std::string>();
  auto* command = app.add_subcommand("deploy", "Deploy the app in a folder: its code, what it requires and ebb.yaml");
  command->group("Deploy and call");
  command->footer(
      "\nLeft out are .git, __pycache__, *.pyc, .venv, node_modules (but for runtime: node) and what .ebbignore names "
      "(it reads like .gitignore).\n"
      "The versions that serve go on serving until the new ones are ready; an unchanged function keeps its version.");
  command->add_option("folder", *subject, "Where ebb.yaml is (default: here); with --image or --zip: APP/FUNCTION")
      ->type_name("");
  auto organisation = std::make_shared<std::string>();
  command->add_option("--org", *organisation, "In which a new app is made; that of the key, else default")
      ->type_name("ORGANISATION");
  auto* of_image = command->add_option("--image", image->reference, "A container image alone, without an ebb.yaml")
                       ->type_name("REFERENCE");
  auto* of_zip =
      command->add_option("--zip", zip->file, "A zip with ebb.yaml at its root, or of a function's code alone")
          ->type_name("FILE")
          ->excludes(of_image);
  command
      ->add_option("--runtime", *runtime,
                   "Of an image: http (default) or lambda; of a zip: python3 (default), node, ...")
      ->type_name("");
  command->add_option("--handler", zip->handler, "Of a zip: what is called, such as lambda_function.lambda_handler")
      ->type_name("")
      ->needs(of_zip);
  command->add_option("--memory", *memory, "Of an image or a zip: hard limit of one instance, such as 256Mi")
      ->type_name("");
  add_common_options(*command, session);
  command->callback([=, &session] {
    session.action = [=, &session, by_image = of_image->count() > 0,
                      by_zip = of_zip->count() > 0]() -> base::Result<int> {
      if (!by_image && !by_zip) {
        if (!runtime->empty() || !memory->empty())
          return base::invalid_argument(
              "ebb.yaml says runtime and memory: --runtime and --memory are of --image and --zip");
        return Deployment(session, false, *organisation).run(folder_of(*subject));
      }
      if (by_image && subject->empty())
        return base::invalid_argument("name what the image becomes: ebb deploy --image REFERENCE APP/FUNCTION");
      image->name = zip->name = *subject;
      image->memory = zip->memory = *memory;
      if (!runtime->empty()) image->runtime = zip->runtime = *runtime;
      Deployment deployment(session, false, *organisation);
      return by_image ? deployment.run(*image) : deployment.run(*zip);
    };
  });
}

void add_build(CLI::App& app, Session& session) {
  auto folder = std::make_shared<std::string>();
  auto* command = app.add_subcommand(
      "build", "Build the app in a folder without deploying it: its requirements and its build command");
  command->group("Deploy and call");
  command->footer(
      "\nOn the node, in a sandbox, as `ebb deploy` does it; that takes from here what is unchanged. The same code and "
      "the same\n"
      "requirements give the same keys, on every node of one version of Ebb, Python and machine.");
  command->add_option("folder", *folder, "Where ebb.yaml is (default: here)")->type_name("");
  add_common_options(*command, session);
  command->callback([&session, folder] {
    session.action = [&session, folder] { return Deployment(session, true).run(folder_of(*folder)); };
  });
}

}  // namespace ebb::cli
