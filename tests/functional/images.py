"""Container images for tests: made by umoci from a program compiled here, or by hand where a tool would refuse; and a real
registry on the loopback.

The program (image_program.c) is static, so that an image of it needs nothing else: it serves HTTP on $PORT, or the Lambda
Runtime API with the argument `lambda`, and tells what it sees.
"""

import contextlib
import crypt
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def compile_program(folder):
    """The path of the static program."""
    program = pathlib.Path(folder) / "image-program"
    subprocess.run(["gcc", "-static", "-O1", "-o", program, HERE / "image_program.c"], check=True, timeout=120)
    return program


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Umoci:
    """An OCI layout that umoci makes; each call of `insert`, `whiteout` or `opaque` adds a layer."""

    def __init__(self, folder, tag="latest"):
        self.folder = pathlib.Path(folder)
        if not self.folder.exists():
            run("umoci", "init", "--layout", self.folder)
        self._image = f"{self.folder}:{tag}"
        run("umoci", "new", "--image", self._image)

    @classmethod
    def at(cls, folder, tag):
        """One that is there already."""
        one = cls.__new__(cls)
        one.folder, one._image = pathlib.Path(folder), f"{folder}:{tag}"
        return one

    def insert(self, source, target, opaque=False):
        run("umoci", "insert", "--rootless", *(["--opaque"] if opaque else []), "--image", self._image, source, target)
        return self

    def whiteout(self, target):
        run("umoci", "insert", "--rootless", "--whiteout", "--image", self._image, target)
        return self

    def config(self, **settings):
        """entrypoint=[...], cmd=[...], env=[...], workingdir="...", user="..." """
        words = []
        for name, value in settings.items():
            for one in value if isinstance(value, list) else [value]:
                words += [f"--config.{name}", one]
        run("umoci", "config", "--image", self._image, *words)
        return self


def tar_of(entries):
    """Entries: tarfile.TarInfo, or (TarInfo, bytes)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            if info.isfile() and info.size == 0:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def entry(name, kind=tarfile.REGTYPE, mode=0o755, **more):
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    for key, value in more.items():
        setattr(info, key, value)
    return info


OCI = {"manifest": "application/vnd.oci.image.manifest.v1+json", "config": "application/vnd.oci.image.config.v1+json",
       "layer": "application/vnd.oci.image.layer.v1.", "index": "application/vnd.oci.image.index.v1+json"}


class Layout:
    """An OCI layout written by hand: it may lie. `layers`: tar archives. `more`: see `add_image`."""

    def __init__(self, folder, layers, settings=None, **more):
        self.folder = pathlib.Path(folder)
        self._blobs = self.folder / "blobs/sha256"
        self._blobs.mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifest = self.add_image(layers, settings, **more)
        self.write_index([self.manifest])

    def add_image(self, layers, settings=None, architecture=MACHINE, diff_ids=None, packed=None, media="tar+gzip", system="linux"):
        """The descriptor of its manifest."""
        packed = packed or [gzip.compress(layer, 1, mtime=0) for layer in layers]
        described = [self.add(data, OCI["layer"] + media) for data in packed]
        config = {"architecture": architecture, "os": system, "config": settings or {}, "rootfs": {
            "type": "layers", "diff_ids": diff_ids or ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "layers": described,
                    "config": self.add(json.dumps(config).encode(), OCI["config"])}
        return self.add(json.dumps(manifest).encode(), OCI["manifest"])

    def add_attestation(self, of):
        """What buildx puts beside an image: an entry of an index, whose one layer is a statement about it."""
        statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": of["digest"]}]}).encode()
        manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "layers": [self.add(statement, "application/vnd.in-toto+json")],
                    "config": self.add(json.dumps({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {
                        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(statement).hexdigest()]}}).encode(), OCI["config"])}
        return {**self.add(json.dumps(manifest).encode(), OCI["manifest"]), "platform": {"architecture": "unknown", "os": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"]}}

    def name_index(self, manifests):
        """Makes an index the layout's one image, as `docker buildx build --output type=oci` does. Its descriptor."""
        index = {"schemaVersion": 2, "mediaType": OCI["index"], "manifests": manifests}
        described = self.add(json.dumps(index).encode(), OCI["index"])
        self.write_index([described])
        return described

    def add(self, data, media):
        name = hashlib.sha256(data).hexdigest()
        (self._blobs / name).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{name}", "size": len(data)}

    def write_index(self, manifests):
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))

    def blob(self, descriptor):
        return self._blobs / descriptor["digest"].removeprefix("sha256:")


class Registry:
    """Debian's docker-registry."""

    def __init__(self, folder, password=None):
        self._folder = pathlib.Path(folder)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = {"version": 0.1, "log": {"level": "info"}, "http": {"addr": self.address},
                  "storage": {"filesystem": {"rootdirectory": str(self._folder / "content")}}}
        if password:
            (self._folder / "htpasswd").write_text(f"user:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self._folder / "htpasswd")}}
        self._password = password
        (self._folder / "config.yml").write_text(json.dumps(config))
        self.log_path = self._folder / "registry.log"
        self._process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(self._folder / "config.yml")], stdout=log, stderr=log)
        host, port = self.address.split(":")
        limit = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return self
            except OSError:
                assert self._process.poll() is None and time.monotonic() < limit, self.log_path.read_text()
                time.sleep(0.05)

    def stop(self):
        self._process.terminate()
        self._process.wait(20)

    def push(self, source, name, *words):
        """Gives the image's full name. `words`: more for skopeo."""
        words += ("--dest-creds", f"user:{self._password}") if self._password else ()
        run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", *words, source, f"docker://{self.address}/{name}")
        return f"{self.address}/{name}"

    def blob_downloads(self):
        """How often a blob was asked for so far, settings of images included."""
        return sum("blobs/sha256" in line and '"GET ' in line for line in self.log_path.read_text().splitlines())


@contextlib.contextmanager
def registry(folder, password=None):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    one = Registry(folder, password).start()
    try:
        yield one
    finally:
        one.stop()


def missing_tools(*names):
    return [name for name in names if shutil.which(name) is None]
