#include "node/model_layer.h"

#include "node/pip_install.h"

namespace ebb::node {

const std::string_view kModelRequirements = R"(onnxruntime==1.23.2 \
    --hash=sha256:da44b99206e77734c5819aa2142c69e64f3b46edc3bd314f6a45a932defc0b3e \
    --hash=sha256:0f9b4ae77f8e3c9bee50c27bc1beede83f786fe1d52e99ac85aa8d65a01e9b77 \
    --hash=sha256:8bace4e0d46480fbeeb7bbe1ffe1f080e6663a42d1086ff95c1551f2d39e7872
numpy==2.2.6 \
    --hash=sha256:ba10f8411898fc418a521833e014a77d3ca01c15b0c6cdcce6a0d2897e6dbbdf \
    --hash=sha256:fd83c01228a688733f1ded5201c678f0c53ecc1006ffbc404db9f7a899ac6249 \
    --hash=sha256:1bc23a79bfabc5d056d106f9befb8d50c31ced2fbc70eedb8155aec74a45798f
)";

wire::Build model_layer_build(const std::string& python, const std::string& key, std::vector<std::string> env,
                              bool host_network) {
  env.push_back("EBB_REQUIREMENTS=" + std::string(kModelRequirements));
  return {
      .output = wire::TreeKind::kLayer,
      .output_key = key,
      .host_network = host_network,
      .argv = pip_install(
          python, {"--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement", "/tmp/requirements.txt"},
          "printf %s \"$EBB_REQUIREMENTS\" > /tmp/requirements.txt || exit\n"),
      .env = std::move(env)};
}

}  // namespace ebb::node
