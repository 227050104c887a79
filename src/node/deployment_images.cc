// Container images of a deployment: found, pulled and unpacked by builds (runtimes/image), each layer once, by the hash
// of its content. A registry is asked each time what its tag means now; nothing is pulled when all layers are here.
#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/image.h"
#include "node/build_environment.h"
#include "node/deployments.h"
#include "store/sha256.h"

namespace ebb::node {

namespace fs = std::filesystem;
namespace json = boost::json;

struct Deployments::ImageFound {
  struct Layer {
    std::string digest;  // "sha256:..." of the blob
    std::string diff_id;
    std::uint64_t size = 0;  // of the blob
    std::string key;         // in the layer store
  };
  model::Image image;
  std::vector<Layer> layers;
  std::string user;
};

namespace {

// Part of the key of an unpacked layer: bump when runtimes/image/unpack.py makes something else of the same bytes.
constexpr std::string_view kUnpackRecipe = "ebb-image-layer-1";
constexpr const char* kFetch = "/ebb/runtime/image/fetch.py";
constexpr const char* kUnpack = "/ebb/runtime/image/unpack.py";
constexpr const char* kAuthSecret = "registry-auth";

std::string layer_key_of(std::string_view diff_id) {
  store::Sha256 hash;
  hash.add(kUnpackRecipe);
  hash.add(std::string_view("\0", 1));
  hash.add(diff_id);
  return hash.finish();
}

// Of something that is removed again; never given twice, also not in another life of the daemon.
std::string passing_key(std::uint64_t number) {
  store::Sha256 hash;
  hash.add("ebb-image-passing " + std::to_string(number) + " " +
           std::to_string(base::wall_now().time_since_epoch().count()));
  return hash.finish();
}

bool is_digest(std::string_view text) {
  return text.starts_with("sha256:") && base::is_content_key(text.substr(std::string_view("sha256:").size()));
}

base::Error malformed() { return base::internal("the build's description of the image is malformed"); }

base::Result<std::string> read_text(const fs::path& path, std::size_t bytes_max, const char* what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::os_error(std::string("read ") + what, errno);
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = std::string(what) + " has more than " + std::to_string(bytes_max) + " bytes"};
  }
  return text;
}

std::string shown(std::uint64_t bytes) {
  constexpr std::uint64_t kMi = 1 << 20;
  return bytes < kMi ? std::to_string((bytes + 1023) / 1024) + " KiB" : std::to_string(bytes / kMi) + " MiB";
}

// Its variables come from whoever made the image; the platform's own stay its own.
bool is_passed_on(std::string_view name) {
  return !name.starts_with("EBB_") && name.find('\0') == std::string_view::npos;
}

bool is_loopback(std::string_view registry) {
  return registry == "localhost" || registry.starts_with("localhost:") || registry.starts_with("127.") ||
         registry.starts_with("[::1]");
}

}  // namespace

bool Deployments::has_layer(const std::string& key) const {
  std::error_code missing;
  return fs::exists(tree_path("layers", key), missing);
}

io::Task<> Deployments::remove_layer(std::string key) {
  std::string order = encode(wire::RemoveTree{.kind = wire::TreeKind::kLayer, .key = key});
  std::vector<os::Fd> none;
  const auto removed = co_await services_.launcher->ask(wire::LauncherType::kRemoveTree, std::move(order),
                                                        std::move(none), limits::kPackageRemoveTimeout, nullptr);
  if (!removed) {
    base::log(base::LogLevel::kWarning, "image_not_removed", {{"layer", key}, {"error", removed.error().message}});
  }
}

io::Task<base::Result<>> Deployments::prepare_images(std::shared_ptr<Job> job, Plan& plan) {
  std::map<std::string, model::Image> prepared;
  for (model::FunctionSpec& spec : plan.manifest.functions) {
    if (!spec.image.written()) continue;
    if (!prepared.contains(spec.image.reference)) {
      std::string app = plan.manifest.app;
      std::string package = plan.package_key;
      std::string written = spec.image.reference;
      auto image = co_await prepare_image(job, std::move(app), std::move(package), std::move(written));
      if (!image) co_return image.error();
      prepared.emplace(spec.image.reference, std::move(*image));
    }
    spec.image = prepared.at(spec.image.reference);
    if (spec.command.empty() && spec.image.command.empty()) {
      co_return base::invalid_argument("image " + spec.image.reference +
                                       " has neither ENTRYPOINT nor CMD: write what starts it as command of function " +
                                       spec.name + " in ebb.yaml");
    }
  }
  co_return base::Result<>();
}

// What is not yet in the layer store, one build each.
io::Task<base::Result<>> Deployments::unpack_layers(std::shared_ptr<Job> job, const ImageFound& image,
                                                    std::string layout_key) {
  std::size_t number = 0;
  for (const ImageFound::Layer& layer : image.layers) {
    ++number;
    if (has_layer(layer.key)) continue;
    say(job, "image",
        "unpacking layer " + std::to_string(number) + " of " + std::to_string(image.layers.size()) + " (" +
            shown(layer.size) + ", " + layer.diff_id.substr(0, 19) + ")");
    wire::Build build{.layer_key = layout_key,
                      .output = wire::TreeKind::kLayer,
                      .output_key = layer.key,
                      .argv = {services_.config.python, "-I", "-S", "-B", kUnpack, layer.digest, layer.diff_id},
                      .env = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8",
                              "EBB_IMAGE_ENTRIES=" + std::to_string(limits::kImageLayerEntries),
                              "EBB_IMAGE_BYTES=" + std::to_string(limits::kImageBytes)}};
    std::string phase = "image";
    base::Result<> built = co_await run_build(job, std::move(phase), std::move(build));
    if (!built) {
      base::Error error = built.error();
      error.message = "image " + image.image.reference + ": " + error.message;
      co_return error;
    }
  }
  co_return base::Result<>();
}

// An order for fetch.py that lacks its step and its source.
io::Task<base::Result<wire::Build>> Deployments::fetch_order(std::string app, std::string package_key,
                                                             model::ImageReference reference) {
  const bool is_local = reference.transport != model::ImageTransport::kRegistry;
  wire::Build build{.output = wire::TreeKind::kLayer,
                    .argv = {services_.config.python, "-I", "-S", "-B", kFetch},
                    .env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8",
                            "EBB_IMAGE_LAYERS=" + std::to_string(limits::kImageLayers),
                            "EBB_IMAGE_BYTES=" + std::to_string(limits::kImageBytes)}};
  if (is_local) {
    build.source_key = package_key;
    co_return build;
  }
  if (services_.config.build_network == model::BuildNetwork::kNone) {
    co_return base::invalid_argument("image " + reference.name +
                                     " cannot be pulled, builds have no network here (build_network): put it into the "
                                     "app's folder and write image: oci-archive:FILE");
  }
  build.host_network = true;
  add_variables(build.env, wire::kProxyVariables);
  const std::string registry = registry_of(reference);
  const auto& insecure = services_.config.insecure_registries;
  const bool by_http = is_loopback(registry) || std::find(insecure.begin(), insecure.end(), registry) != insecure.end();
  build.env.push_back(std::string("EBB_TLS_VERIFY=") + (by_http ? "0" : "1"));
  // Not an argument, which others could see, and in no message: only the build that asks the registry has it.
  std::function<base::Result<std::string>()> find =
      [&secrets = services_.secrets, app, path = services_.config.registry_auth]() -> base::Result<std::string> {
    model::FunctionSpec asks;
    asks.secrets = {{"AUTH", kAuthSecret}};
    const base::Result<SecretValues> values = secrets.values_for(app, asks);
    if (values) return values->at("AUTH");
    if (values.error().code != base::Code::kInvalidArgument) return values.error();
    if (path.empty()) return std::string();
    return read_text(path, limits::kRegistryAuthBytes, "registry_auth");
  };
  const auto auth = co_await io::offload(services_.pool, "open registry credentials", std::move(find));
  if (!auth) co_return auth.error();
  if (!auth->empty()) build.env.push_back("EBB_REGISTRY_AUTH=" + *auth);
  co_return build;
}

io::Task<base::Result<model::Image>> Deployments::prepare_image(std::shared_ptr<Job> job, std::string app,
                                                                std::string package_key, std::string written) {
  EBB_CO_TRY(const model::ImageReference reference, model::parse_image_reference(written));
  const bool is_local = reference.transport != model::ImageTransport::kRegistry;
  std::string phase = "image";
  const auto order = co_await fetch_order(std::move(app), std::move(package_key), reference);
  if (!order) co_return order.error();
  wire::Build look = *order;
  look.argv.insert(look.argv.end(), {is_local ? "copy" : "describe", model::skopeo_name(reference, "/ebb/source")});
  look.output_key = passing_key(services_.next_build++);
  const std::string look_key = look.output_key;
  say(job, "image", (is_local ? "reading " : "asking for ") + written);
  base::Result<> step = co_await run_build(job, phase, std::move(look));
  if (!step) co_return step.error();

  auto found = read_image_found(tree_path("layers", look_key) + "/image.json");
  std::string layout_key = is_local ? look_key : std::string();
  if (!is_local) {
    std::string done = look_key;
    co_await remove_layer(std::move(done));
  }
  if (!found) {
    step = found.error();
  } else {
    found->image.reference = written;
    std::uint64_t bytes = 0;
    std::string have;
    std::size_t missing = 0;
    for (const ImageFound::Layer& layer : found->layers) {
      if (!has_layer(layer.key)) {
        ++missing;
        bytes += layer.size;
      } else if (have.find(layer.digest.substr(7)) == std::string::npos) {
        have += (have.empty() ? "" : ",") + layer.digest.substr(7) + ":" + std::to_string(layer.size);
      }
    }
    say(job, "image",
        written + " is " + found->image.digest + ", " + std::to_string(found->layers.size()) + " layers" +
            (missing == 0 ? ", all here" : ", " + std::to_string(missing) + " new (" + shown(bytes) + ")"));
    if (missing > 0 && !is_local) {
      wire::Build pull = *order;
      model::ImageReference exact = reference;
      exact.name = model::without_tag(reference.name) + "@" + found->image.digest;
      pull.argv.insert(pull.argv.end(), {"pull", model::skopeo_name(exact, "")});
      pull.env.push_back("EBB_IMAGE_HAVE=" + have);
      pull.output_key = passing_key(services_.next_build++);
      layout_key = pull.output_key;
      step = co_await run_build(job, phase, std::move(pull));
    }
    if (step && missing > 0) step = co_await unpack_layers(job, *found, layout_key);
  }
  if (!layout_key.empty()) co_await remove_layer(std::move(layout_key));
  if (!step) co_return step.error();
  if (!found->user.empty())
    say(job, "image", "its USER " + found->user + " is not taken over: programs run as user 1000");
  co_return std::move(found->image);
}

base::Result<Deployments::ImageFound> Deployments::read_image_found(const std::string& path) {
  EBB_TRY(const std::string text, read_text(path, limits::kImageDescriptionBytes, "the image's description"));
  boost::system::error_code failed;
  const json::value parsed = json::parse(text, failed);
  const json::object* object = failed ? nullptr : parsed.if_object();
  if (object == nullptr) return malformed();
  ImageFound found;
  const json::value* layers = object->if_contains("layers");
  const json::value* user = object->if_contains("user");
  if (layers == nullptr || !layers->is_array() || user == nullptr || !user->is_string()) return malformed();
  found.user = std::string(user->get_string());
  for (const json::value& value : layers->get_array()) {
    const json::object* one = value.if_object();
    const json::value* digest = one == nullptr ? nullptr : one->if_contains("digest");
    const json::value* diff_id = one == nullptr ? nullptr : one->if_contains("diff_id");
    const json::value* size = one == nullptr ? nullptr : one->if_contains("size");
    if (digest == nullptr || diff_id == nullptr || size == nullptr || !digest->is_string() || !diff_id->is_string() ||
        !size->is_int64() || size->get_int64() < 0) {
      return malformed();
    }
    ImageFound::Layer layer{.digest = std::string(digest->get_string()),
                            .diff_id = std::string(diff_id->get_string()),
                            .size = static_cast<std::uint64_t>(size->get_int64()),
                            .key = {}};
    if (!is_digest(layer.digest) || !is_digest(layer.diff_id)) return malformed();
    layer.key = layer_key_of(layer.diff_id);
    found.layers.push_back(std::move(layer));
  }
  json::object settings = *object;
  settings.erase("layers");
  EBB_TRY(found.image, model::image_from_json(settings));
  if (!is_digest(found.image.digest)) return malformed();
  std::erase_if(found.image.env, [](const auto& entry) { return !is_passed_on(entry.first); });
  // The kernel lays no folder over itself. The upper of two equal layers hides all that the lower one has.
  std::set<std::string> seen;
  for (auto layer = found.layers.rbegin(); layer != found.layers.rend(); ++layer) {
    if (seen.insert(layer->key).second) found.image.layers.insert(found.image.layers.begin(), layer->key);
  }
  found.image.reference = "x";
  if (const auto violation = model::image_violation(found.image))
    return base::invalid_argument("the image " + *violation);
  return found;
}

}  // namespace ebb::node
