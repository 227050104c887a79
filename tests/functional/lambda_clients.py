"""Functions of AWS Lambda in lambda_clients/, built with AWS's own clients as their users build them, for tests.

What is fetched (Go modules, crates, packages of npm and PyPI) is pinned by lock files with hashes. What was built lies in build/lambda-clients, keyed
by its sources: only the first run builds.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from ebb_node import ROOT

SOURCES = pathlib.Path(__file__).parent / "lambda_clients"
BUILT = ROOT / "build/lambda-clients"
# A Go module. ./dev bench peers measures the same.
EMULATOR = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d"
HEADERS_OF_NODE = "include/node/node_api.h"  # for the part of aws-lambda-ric that is C++


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=900, check=False, **options)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


def program(name):
    """Its path, or None: cargo is where rustup puts it, which few services have in their PATH."""
    return shutil.which(name) or shutil.which(name, path=str(pathlib.Path.home() / f".{name}/bin"))


def _node_prefix():
    """Where the headers of the machine's Node are, or None."""
    node = program("node")
    prefix = pathlib.Path(node).resolve().parent.parent if node else None
    return prefix if prefix and (prefix / HEADERS_OF_NODE).exists() else None


def _go(work):
    run(program("go"), "build", "-trimpath", "-ldflags=-s", "-o", work / "package/bootstrap", ".", cwd=work,
        env={**os.environ, "CGO_ENABLED": "0"})


def _rust(work):
    run(program("cargo"), "build", "--release", "--locked", "--quiet", cwd=work, env={**os.environ, "CARGO_TARGET_DIR": str(work / "target")})
    shutil.copy(work / "target/release/orders", work / "package/bootstrap")
    shutil.rmtree(work / "target")  # 130 MB, and what changes is built anew anyway


def _node(work):
    # Its scripts compile curl, AWS's client in C++ and an addon; without `nodedir` node-gyp would fetch headers from nodejs.org.
    run(program("npm"), "ci", "--no-audit", "--no-fund", cwd=work, env={**os.environ, "npm_config_nodedir": str(_node_prefix())})
    for name in ("node_modules", "index.mjs"):
        (work / name).rename(work / "package" / name)


def _python(work):
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--target", work / "package",
        "-r", work / "requirements.txt")
    (work / "index.py").rename(work / "package/index.py")


_BUILDERS = {"go": _go, "rust": _rust, "node": _node, "python": _python}
_TOOLS = {"go": ["go"], "rust": ["cargo", "cc"], "python": [], "node": ["node", "npm", "cmake", "g++", "make", "python3", "xz"]}


def missing(language):
    """What this machine lacks to build the function, in words; or nothing."""
    lacking = [tool for tool in _TOOLS[language] if program(tool) is None]
    if language == "node" and _node_prefix() is None:
        lacking.append("headers of Node")
    return ", ".join(lacking)


def built(source, top, builder, recipe):
    """The folder `package` that `builder` makes in a copy of the sources; made once for what sources and recipe say, below `top`."""
    key = hashlib.sha256(pathlib.Path(recipe).read_bytes())
    for path in sorted(source.rglob("*")):
        if path.is_file():
            key.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes())
    done, work = top / f"{source.name}-{key.hexdigest()[:16]}", top / source.name
    if not done.is_dir():
        shutil.rmtree(work, ignore_errors=True)  # of a build that failed
        shutil.copytree(source, work)
        (work / "package").mkdir()
        builder(work)
        (work / "package").rename(done)
        shutil.rmtree(work)
    return done


def package(language):
    """The folder to deploy, but for its ebb.yaml: not to be written to."""
    return built(SOURCES / language, BUILT, _BUILDERS[language], __file__)
