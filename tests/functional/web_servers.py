"""Web servers in web_servers/, built as their users build them, for tests: in Go with its standard library, and in Java with Spring Boot.

What is fetched (Maven's plugins and jars) is pinned by the parent's version. What was built lies in build/web-servers: only the first run
builds.
"""

import os
import pathlib
import shutil

from ebb_node import ROOT
from lambda_clients import built, program, run

SOURCES = pathlib.Path(__file__).parent / "web_servers"
BUILT = ROOT / "build/web-servers"


def _go(work):
    run(program("go"), "build", "-trimpath", "-ldflags=-s", "-o", work / "package/shelf", ".", cwd=work, env={**os.environ, "CGO_ENABLED": "0"})


def _spring(work):
    run(program("mvn"), "--batch-mode", "--quiet", "package", cwd=work)
    shutil.copy(work / "target/shelf.jar", work / "package/shelf.jar")


_BUILDERS = {"go": _go, "spring": _spring}
_TOOLS = {"go": ["go"], "spring": ["mvn", "javac"]}


def missing(name):
    """What this machine lacks to build the server, in words; or nothing."""
    return ", ".join(tool for tool in _TOOLS[name] if program(tool) is None)


def package(name):
    """The folder to deploy, but for its ebb.yaml: not to be written to."""
    return built(SOURCES / name, BUILT, _BUILDERS[name], __file__)
