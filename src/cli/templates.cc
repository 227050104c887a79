#include "cli/templates.h"

namespace ebb::cli {
namespace {

constexpr std::string_view kImageSteps[] = {
    "./make_image.sh    # needs umoci and busybox-static; the Dockerfile says the same"};
constexpr std::string_view kGoSteps[] = {"CGO_ENABLED=0 go build -trimpath -o bootstrap ."};
constexpr std::string_view kRustSteps[] = {
    "cargo build --release --locked", "cp target/release/orders bootstrap    # its glibc is not newer than the node's"};
constexpr std::string_view kCppSteps[] = {
    "cmake -S . -B build -DCMAKE_PREFIX_PATH=SDK -DCMAKE_BUILD_TYPE=Release    # SDK: where sdk/cpp is installed",
    "cmake --build build"};

constexpr Template kTemplates[] = {
    {"python", "hello", "a handler in Python", {}, "-s|/hello?name=Ada", "deploy.md"},
    {"node", "hello-node", "handlers in JavaScript, one of them streaming", {}, "-s|/hello?name=Ada", "node.md"},
    {"typescript",
     "typescript",
     "a handler in TypeScript, compiled by the node",
     {},
     "-s --data '{\"title\": \"tea\", \"count\": 3}'|/of",
     "node.md"},
    {"flask", "flask", "a Flask application, unchanged", {}, "-s|/web/square/7", "web-frameworks.md"},
    {"django", "django", "a Django project, unchanged", {}, "-s|/web/square/7", "web-frameworks.md"},
    {"fastapi",
     "fastapi",
     "a FastAPI application that streams its answer",
     {},
     "-s -N -H content-type:application/json --data '{\"prompt\": \"ebb\"}'|/web/chat",
     "web-frameworks.md"},
    {"http", "http", "a web server that listens on $PORT", {}, "-s|/site/?name=Ada", "programs.md"},
    {"express", "express", "an Express application, unchanged", {}, "-s|/web/square/7", "node.md"},
    {"fc", "function-compute", "a server for Alibaba Function Compute, unchanged", {}, "-s|/size/", "programs.md"},
    {"lambda",
     "lambda",
     "a function of AWS Lambda with AWS's own runtime client",
     {},
     "-s --data '{\"items\": [{\"price\": 3}]}'|/take/",
     "programs.md"},
    {"go", "lambda-go", "a function of AWS Lambda in Go", kGoSteps, "-s --data '{\"items\": [{\"price\": 3}]}'|/take/",
     "programs.md"},
    {"rust", "lambda-rust", "a function of AWS Lambda in Rust", kRustSteps,
     "-s --data '{\"items\": [{\"price\": 3}]}'|/take/", "programs.md"},
    {"image", "image", "a container image with a web server", kImageSteps, "-s|/site/index.html", "images.md"},
    {"model",
     "digits-model",
     "an ONNX model alone, without code",
     {},
     "-s --data @sample.json|/digits/v2/models/digits/infer",
     "models.md"},
    {"cpp", "hello-cpp", "a handler in C++", kCppSteps, "-s|/hello?name=Ada", "cpp.md"},
};

}  // namespace

std::span<const Template> templates() { return kTemplates; }

}  // namespace ebb::cli
