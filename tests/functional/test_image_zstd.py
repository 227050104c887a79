"""Layers that are packed by zstd, as buildx, podman and ko push them: pulled and unpacked as those by gzip are, and what is said of those
that are damaged, or where the node has no zstd."""

import json
import shutil
import struct
import subprocess

import pytest

import images
from ebb_node import module_at
from images import Layout, entry, tar_of
from test_image import NEEDED, deploy, events, get, node, registry  # noqa: F401 (the last two are fixtures)

NEEDED = NEEDED + images.missing_tools("zstd")
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"not installed: {', '.join(NEEDED)}")


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    program = images.compile_program(tmp_path_factory.mktemp("program")).read_bytes()
    return [tar_of([(entry("program"), program), (entry("old"), b"old")]), tar_of([(entry("new"), b"new" * 1_000_000), entry(".wh.old")])]


def pack(data, *words):
    return subprocess.run(["zstd", "-q", *words], input=data, stdout=subprocess.PIPE, check=True, timeout=60).stdout


def layout_of(folder, layers, packed=None):
    return Layout(folder, layers, {"Cmd": ["/program"]}, packed=packed or [pack(layer) for layer in layers], media="tar+zstd")


def serves(node, app):
    return get(node, "file/old", app).status_code == 404 and get(node, "file/new", app).text.startswith("newnew")


def test_it_is_pulled_and_unpacked(node, registry, layers, tmp_path):
    layout = layout_of(tmp_path / "l", layers)
    name = registry.push(f"oci:{layout.folder}", "team/zstd:v1")
    done = deploy(node, "zstd", name)
    assert any("2 layers, 2 new" in message for message in events(done)), events(done)
    assert serves(node, "zstd") and node.functions("zstd")["zstd/f"]["spec"]["image"]["digest"] == layout.manifest["digest"]


def test_the_same_layers_packed_otherwise_are_here_already(node, layers, tmp_path):
    deploy(node, "one", ("oci", layout_of(tmp_path / "l", layers).folder))
    done = deploy(node, "other", ("oci", Layout(tmp_path / "g", layers, {"Cmd": ["/program"]}).folder))
    assert any("all here" in message for message in events(done)), events(done)
    assert serves(node, "one") and serves(node, "other")


def test_several_frames_and_those_to_be_skipped(node, tmp_path, layers):
    """As podman's zstd:chunked makes them: a frame for each file, and a table of contents that is none."""
    layers = [*layers, tar_of([(entry("last"), b"last")])]
    table = struct.pack("<II", 0x184D2A50, 5) + b"table"
    packed = [pack(layer[:1000]) + pack(layer[1000:]) + table for layer in layers]
    deploy(node, "frames", ("oci", layout_of(tmp_path / "l", layers, packed).folder))
    assert serves(node, "frames") and get(node, "file/last", "frames").text == "last"


@pytest.mark.parametrize("harm", [lambda packed: packed[:-30], lambda packed: packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]], ids=["cut", "altered"])
def test_a_damaged_one_is_said(node, tmp_path, harm):
    """By its own checksum: its digest is that of the damaged bytes."""
    layer = tar_of([(entry("noise"), b"".join(struct.pack("<I", number * 2654435761 % 2**32) for number in range(50_000)))])
    done = deploy(node, "damaged", ("oci", layout_of(tmp_path / "l", [layer], [harm(pack(layer, "--check"))]).folder), expect=None)
    assert done.returncode != 0 and "a layer of it is damaged" in done.stderr, done.stderr


def test_one_that_is_not_what_it_says_is_refused(node, layers, tmp_path):
    other = tar_of([(entry("other"), b"other")])
    done = deploy(node, "other", ("oci", layout_of(tmp_path / "l", [other], [pack(layers[0])]).folder), expect=None)
    assert done.returncode != 0 and "is not the one it says" in done.stderr, done.stderr


def test_one_that_unpacks_to_too_much_is_refused(tmp_path):
    unpack = module_at("runtimes/image/unpack.py")
    bomb = pack(tar_of([(entry("zeros"), bytes(3 << 20))]))
    digest = images.Layout(tmp_path / "l", [b""]).add(bomb, "")["digest"]
    (tmp_path / "root").mkdir()
    with pytest.raises(unpack.Refused, match="unpacks to more than"):
        unpack.unpack(digest, digest, 10, 1 << 20, str(tmp_path / "l/blobs/sha256") + "/", str(tmp_path / "root"))


def test_without_the_program_the_remedy_is_told(monkeypatch):
    fetch = module_at("runtimes/image/fetch.py")
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None if name == "zstd" else shutil.which(name))
    monkeypatch.setenv("EBB_IMAGE_LAYERS", "9")
    digest = "sha256:" + "0" * 64
    manifest = {"schemaVersion": 2, "layers": [{"digest": digest, "size": 1, "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}]}
    config = {"os": "linux", "architecture": images.MACHINE, "rootfs": {"diff_ids": [digest]}}
    with pytest.raises(fetch.Refused, match="no zstd: apt-get install zstd"):
        fetch.description(json.dumps(manifest).encode(), json.dumps(config).encode())
