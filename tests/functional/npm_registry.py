"""A registry of npm packages on loopback, for tests: packages made by the test, served as npm asks for them, and every request kept."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
import urllib.parse

import pytest

needs_npm = pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None,
                               reason="no node or no npm on this machine: ./dev deps --npm")


def without_proxy(patch):
    """Loopback is asked directly, whatever proxy the machine has; `patch`: pytest's MonkeyPatch."""
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1"])))


def make_default(patch, one):
    """A node that is started from now on has npm ask this registry, as its operator may set; `patch`: pytest's MonkeyPatch."""
    patch.delenv("npm_config_registry", raising=False)
    patch.setenv("NPM_CONFIG_REGISTRY", one.url)
    without_proxy(patch)


def tarball(files):
    """A package as npm packs it, of {path: text}; the same bytes each time."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            data = text.encode()
            entry.size, entry.mode = len(data), 0o755 if text.startswith("#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def integrity_of(data):
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


class Registry:
    """`asked`: the paths of all requests so far, decoded. `credential`: what a request for a package of `@private` must show, as its
    whole Authorization; the refusal repeats what was shown instead, as no registry should."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.asked = []
        self.credential = None
        self._described = {}  # name -> {version: its package.json with dist}
        self._tarballs = {}  # path -> bytes

    def publish(self, name, version, files, **described):
        """Adds a version; `described` goes into its package.json. Returns its entry for a lock's `packages`."""
        package = {"name": name, "version": version, **described}
        data = tarball({"package.json": json.dumps(package), **files})
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self._tarballs[path] = data
        integrity = integrity_of(data)
        self._described.setdefault(name, {})[version] = {**package, "dist": {"tarball": self.url + path, "integrity": integrity}}
        kept = {key: described[key] for key in ("dependencies", "bin", "os", "cpu", "engines") if key in described}
        return {"version": version, "resolved": self.url + path, "integrity": integrity, **kept}

    def replace(self, name, version, files):
        """Other bytes under the same name and version, as no registry should do."""
        package = {"name": name, "version": version}
        self._tarballs[f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"] = tarball({"package.json": json.dumps(package), **files})

    def refusal(self, path, shown):
        """What is said to who may not have it, or None."""
        if not path.startswith("/@private") or shown == self.credential:
            return None
        return json.dumps({"error": f"{shown} does not let you in"}).encode()

    def answer(self, path):
        self.asked.append(path)
        if path in self._tarballs:
            return self._tarballs[path]
        versions = self._described.get(path[1:])
        if versions is None:
            return None
        return json.dumps({"name": path[1:], "dist-tags": {"latest": max(versions)}, "versions": versions}).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        registry, path = self.server.registry, urllib.parse.unquote(self.path.partition("?")[0])
        refusal = registry.refusal(path, self.headers.get("Authorization"))
        body = refusal or registry.answer(path)
        self.send_response(403 if refusal else 404 if body is None else 200)
        body = body if body is not None else b'{"error": "Not found"}'
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "application/octet-stream")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def registry():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.registry = Registry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lock_of(packages, dependencies=None, name="app", version=3):
    """package.json and package-lock.json, as files of a package, of {place or name: entry}. `dependencies`: of package.json, by default
    every package at the top of node_modules in its exact version."""
    places = {place if "node_modules/" in place or "packages/" in place else f"node_modules/{place}": entry for place, entry in packages.items()}
    if dependencies is None:
        dependencies = {place.removeprefix("node_modules/"): entry["version"] for place, entry in places.items()
                        if place.count("node_modules/") == 1 and not entry.get("dev") and "version" in entry}
    package = {"name": name, "version": "1.0.0", "dependencies": dependencies}
    lock = {"name": name, "version": "1.0.0", "lockfileVersion": version, "requires": True, "packages": {"": package, **places}}
    return {"package.json": json.dumps(package), "package-lock.json": json.dumps(lock)}
