"""Finds out what is behind an image's name, and brings its layers, by skopeo, in the sandbox of a build.

    fetch.py describe SOURCE     of a registry: image.json
    fetch.py pull SOURCE@DIGEST  of a registry: its blobs, but for those in EBB_IMAGE_HAVE ("hex:bytes,...")
    fetch.py copy SOURCE         of a local layout or archive: blobs and image.json

What it makes lies in /ebb/out: `layout`, an OCI layout, and `image.json`, which the daemon reads. All of what it reads is
hostile; what it says of it is checked again by whoever reads it. The last line of output of a failure is "error: ...".
"""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys

OUT = "/ebb/out"
LAYOUT = OUT + "/layout"
_SCRATCH = OUT + "/scratch"
_AUTH = "/tmp/auth.json"
_MANIFEST_BYTES = 4 << 20
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_NO_PLATFORM = ("unknown/unknown", "None/None")  # of the first kind are the attestations that buildx puts beside its images
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Refused(Exception):
    """The reason, for the user."""


def architecture():
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


# What skopeo says, and what that means for the user; the first that is found counts.
_MEANINGS = (
    (r"connection refused|no such host|no route to host|i/o timeout|timeout|network is unreachable|EOF",
     "its registry cannot be reached"),
    (r"server gave HTTP response to HTTPS client",
     "its registry speaks plain HTTP: an operator may list it under insecure_registries"),
    (r"x509|certificate", "its registry shows a certificate that this node does not trust"),
    (r"unauthorized|authentication required|denied|invalid username|\b40[13]\b",
     "its registry refuses us: give credentials with the secret registry-auth (ebb secret set APP registry-auth), or check the name"),
    (r"manifest unknown|name unknown|not found|\b404\b|no such image|does not contain|no image with tag|reference .* not found"
     r"|more than one image|no such file or directory",
     "there is no such image or tag there"),
    (r"no image found in manifest list|architecture", "it has no variant for this node's processor"),
    (r"digest mismatch|did not match|Digest did not match|verification failed|unexpected EOF|invalid checksum|Blob unknown",
     "a part of it is damaged: its bytes are not those of its digest"),
    (r"file too large|file size limit|SIGXFSZ", "it is too large"),
    (r"no space left", "the node's disk is full"),
)


def _refusal(source, said):
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "skopeo failed")
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', last)
    reason = found.group(1).replace('\\"', '"') if found else last
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, reason):
            return Refused(f"image {source}: {meaning} ({reason[:500]})")
    return Refused(f"image {source} cannot be had: {reason[:500]}")


class Skopeo:
    def __init__(self, source):
        self._source = source
        self._shown = source.removeprefix("docker://").replace("/ebb/source/", "")
        self._options = []
        if source.startswith("docker://"):
            if auth := os.environ.get("EBB_REGISTRY_AUTH"):
                with open(_AUTH, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                    file.write(auth)
                self._options.append(f"--authfile={_AUTH}")
            if os.environ.get("EBB_TLS_VERIFY") == "0":
                self._options.append("--tls-verify=false")

    @staticmethod
    def _command(*words):
        # Whose signature an image needs is not decided here: everyone's will do.
        return ["skopeo", "--insecure-policy", "--override-os=linux", f"--override-arch={architecture()}", *words]

    @staticmethod
    def _environment():
        os.makedirs(_SCRATCH, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EBB_")}
        return {**kept, "TMPDIR": _SCRATCH, "HOME": "/tmp"}

    def inspect(self, *options, digest=None):
        """Raw bytes of a manifest, or with --config of the settings."""
        source = self._source if digest is None else f"{name_without_tag(self._source)}@{digest}"
        done = subprocess.run(self._command("inspect", "--raw", *self._options, *options, source), stdin=subprocess.DEVNULL,
                              capture_output=True, env=self._environment(), check=False)
        if done.returncode != 0:
            raise _refusal(self._shown, done.stderr.decode(errors="replace"))
        if len(done.stdout) > _MANIFEST_BYTES:
            raise Refused(f"image {self._shown}: its description has more than {_MANIFEST_BYTES} bytes")
        return done.stdout

    def copy(self, variant=""):
        """All of it into the layout; what is there already is not fetched. `variant`: of an index, which of this processor's."""
        bytes_max = int(os.environ["EBB_IMAGE_BYTES"])
        command = self._command(f"--override-variant={variant}", "copy", *self._options, self._source, f"oci:{LAYOUT}:image")
        with open("/tmp/errors", "w+b") as errors:
            status = subprocess.call(command, stdin=subprocess.DEVNULL, stderr=errors, env=self._environment(),
                                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max)))
            errors.seek(0)
            if status != 0:
                raise _refusal(self._shown, errors.read(1 << 20).decode(errors="replace"))


def name_without_tag(source):
    name = source.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parsed(data, what):
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(f"its {what} is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(f"its {what} is not a JSON object")
    return value


def is_index(manifest):
    return manifest.get("mediaType") in _INDEXES or "manifests" in manifest


def chosen_from(index):
    """(digest, variant) of the manifest to take. Of several for this processor the one that asks the least of it: amd64 before amd64/v3."""
    fitting, offered = [], set()
    for entry in index.get("manifests") or ():
        platform = entry.get("platform") or {}
        name, variant = f"{platform.get('os')}/{platform.get('architecture')}", str(platform.get("variant") or "")
        if name == f"linux/{architecture()}" and _DIGEST.fullmatch(str(entry.get("digest"))):
            fitting.append((variant, entry["digest"]))
        elif name not in _NO_PLATFORM:
            offered.add(f"{name}/{variant}" if variant else name)
    if not fitting:
        raise Refused(f"the image is for {', '.join(sorted(offered))[:300] or 'no machine at all'}, "
                      f"this node is linux/{architecture()}: build it for that (docker build --platform linux/{architecture()})")
    variant, digest = min(fitting, key=lambda one: one[0])
    return digest, variant


def _texts(value, what):
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(f"its {what} is not a list of texts")
    return value


def description(manifest_data, config_data):
    """What the daemon is told: a dictionary for image.json."""
    manifest, config = parsed(manifest_data, "manifest"), parsed(config_data, "configuration")
    if manifest.get("schemaVersion") != 2:
        raise Refused("its manifest is of the old schema 1: push it again with a tool of today")
    layers = manifest.get("layers")
    diff_ids = (config.get("rootfs") or {}).get("diff_ids")
    if not isinstance(layers, list) or not isinstance(diff_ids, list) or len(layers) != len(diff_ids):
        raise Refused("its manifest and its configuration do not name the same layers")
    if not layers:
        raise Refused("it has no layers, so there is no program in it")
    if len(layers) > int(os.environ["EBB_IMAGE_LAYERS"]):
        raise Refused(f"it has {len(layers)} layers, the limit is {os.environ['EBB_IMAGE_LAYERS']}: build it with fewer steps")
    if (config.get("os"), config.get("architecture")) != ("linux", architecture()):
        raise Refused(f"the image is built for {config.get('os')}/{config.get('architecture')}, this node is "
                      f"linux/{architecture()}: build it for that (docker build --platform linux/{architecture()})")
    told = []
    for layer, diff_id in zip(layers, diff_ids):
        digest, size, kind = layer.get("digest"), layer.get("size"), str(layer.get("mediaType"))
        if not _DIGEST.fullmatch(str(digest)) or not _DIGEST.fullmatch(str(diff_id)) or type(size) is not int or size < 0:
            raise Refused("one of its layers has no sha256 digest or no size")
        if not re.search(r"\.tar([+.](gzip|zstd))?$", kind) or "foreign" in kind or "nondistributable" in kind:
            raise Refused(f"a layer of it is {kind}: layers are tar, tar+gzip or tar+zstd here; push it with those")
        if kind.endswith("zstd") and shutil.which("zstd") is None:
            raise Refused(f"a layer of it is {kind}, and this node has no zstd: apt-get install zstd")
        told.append({"digest": digest, "size": size, "diff_id": diff_id})
    if sum(layer["size"] for layer in told) > int(os.environ["EBB_IMAGE_BYTES"]):
        raise Refused(f"its layers have more than {int(os.environ['EBB_IMAGE_BYTES']) >> 30} GiB")
    settings = config.get("config") or {}
    env = dict(item.split("=", 1) for item in _texts(settings.get("Env"), "ENV") if "=" in item and not item.startswith("="))
    return {
        "digest": digest_of(manifest_data),
        "layers": told,
        "command": _texts(settings.get("Entrypoint"), "ENTRYPOINT") + _texts(settings.get("Cmd"), "CMD"),
        "env": env,
        "directory": str(settings.get("WorkingDir") or ""),
        "user": str(settings.get("User") or ""),
    }


def describe(source):
    skopeo = Skopeo(source)
    manifest = skopeo.inspect()
    found = parsed(manifest, "manifest")
    if is_index(found):
        manifest = skopeo.inspect(digest=chosen_from(found)[0])
    config = skopeo.inspect("--config", digest=digest_of(manifest))
    wanted = (parsed(manifest, "manifest").get("config") or {}).get("digest")
    if digest_of(config) != wanted:
        raise Refused("its configuration is not the one that its manifest names")
    return description(manifest, config)


def blob(digest):
    if not _DIGEST.fullmatch(str(digest)):
        raise Refused("it names something by another digest than sha256")
    with open(f"{LAYOUT}/blobs/sha256/{digest[7:]}", "rb") as file:
        data = file.read(_MANIFEST_BYTES)
    if digest_of(data) != digest:
        raise Refused(f"its part {digest} is damaged")
    return data


def copy(source):
    skopeo, variant = Skopeo(source), ""
    if not source.startswith("docker-archive:"):  # which has no indexes, and would be read twice
        found = parsed(skopeo.inspect(), "manifest")
        variant = chosen_from(found)[1] if is_index(found) else ""
    skopeo.copy(variant)
    with open(LAYOUT + "/index.json", "rb") as file:
        index = parsed(file.read(_MANIFEST_BYTES), "index")
    manifest = blob(index["manifests"][0]["digest"])
    return description(manifest, blob((parsed(manifest, "manifest").get("config") or {}).get("digest")))


def pull(source):
    """skopeo does not fetch what the layout has. It looks at the sizes: empty files of the right size stand for layers that
    are unpacked already; nobody reads them."""
    folder = LAYOUT + "/blobs/sha256"
    os.makedirs(folder)
    for item in filter(None, os.environ.get("EBB_IMAGE_HAVE", "").split(",")):
        name, _, size = item.partition(":")
        with open(f"{folder}/{name}", "xb") as file:
            file.truncate(int(size))
    Skopeo(source).copy()


def main():
    step, source = sys.argv[1:]
    if shutil.which("skopeo") is None:
        raise Refused("this node has no skopeo, which fetches images: apt-get install skopeo")
    if step == "pull":
        pull(source)
    else:
        told = describe(source) if step == "describe" else copy(source)
        with open(OUT + "/image.json", "w", encoding="utf-8") as file:
            json.dump(told, file)
    shutil.rmtree(_SCRATCH, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except Refused as _refused:
        print(f"error: {_refused}", flush=True)
        sys.exit(1)
    except Exception as _error:  # of a shape that nobody thought of: it is the image's fault all the same
        print(f"error: the image cannot be read: {type(_error).__name__}: {_error}", flush=True)
        sys.exit(1)
