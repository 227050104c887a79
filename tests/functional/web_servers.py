"""Web servers in web_servers/, built as their users build them, for tests: in Go with its standard library, in Java with Spring Boot, and a
Next.js application.

What is fetched is pinned: Maven's plugins and jars by the parent's version, packages of npm by the lock. What was built lies in
build/web-servers: only the first run builds.
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


def _next(work):
    env = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}
    run(program("npm"), "ci", "--no-audit", "--no-fund", cwd=work, env=env)
    run(program("npm"), "run", "build", cwd=work, env=env)
    # What Next.js leaves out of it, for a CDN may have it: said in docs/tasks/programs.md.
    standalone = work / ".next/standalone"
    shutil.copytree(work / "public", standalone / "public")
    shutil.copytree(work / ".next/static", standalone / ".next/static")
    (standalone / ".ebbignore").write_text("!node_modules\n")
    (work / "package").rmdir()
    standalone.rename(work / "package")


_BUILDERS = {"go": _go, "spring": _spring, "next": _next}
_TOOLS = {"go": ["go"], "spring": ["mvn", "javac"], "next": ["node", "npm"]}


def missing(name):
    """What this machine lacks to build the server, in words; or nothing."""
    return ", ".join(tool for tool in _TOOLS[name] if program(tool) is None)


def package(name):
    """The folder to deploy, but for its ebb.yaml: not to be written to."""
    return built(SOURCES / name, BUILT, _BUILDERS[name], __file__)
