"""Layers of images that attempt what they must not: out of the image, through links, onto devices, with privileges, too large.
Each is deployed on a real node; what is refused is said, and leaves nothing."""

import json
import shutil
import tarfile

import pytest

import images
from ebb_node import eventually, module_at
from images import Layout, entry, tar_of

NEEDED = images.missing_tools("skopeo", "gcc")
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"not installed: {', '.join(NEEDED)}")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return images.compile_program(tmp_path_factory.mktemp("program")).read_bytes()


def deploy(node, folder, layers, app="hostile", expect=0, settings=None, **spec):
    layout = Layout(folder / "layout", layers, settings or {"Entrypoint": ["/program"]})
    package = folder / "package"
    package.mkdir()
    shutil.copytree(layout.folder, package / "image")
    function = {"runtime": "http", "memory": "128Mi", "image": "oci:image", **spec}
    (package / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"f": function}}))
    return node.deploy(package, expect=expect)


@pytest.mark.parametrize("entries, text", [
    ([entry("../../out")], "leads out of the image"),
    ([entry("a/../../out")], "leads out of the image"),
    ([entry("door", tarfile.SYMTYPE, linkname="/tmp"), entry("door/inside")], "lies below the link"),
    ([entry("door", tarfile.SYMTYPE, linkname="../../.."), entry("door/inside/deep")], "lies below the link"),
    ([entry("hard", tarfile.LNKTYPE, linkname="/etc/passwd")], "is a hard link to"),
    ([entry("hard", tarfile.LNKTYPE, linkname="../../../etc/passwd")], "leads out of the image"),
    ([entry("door", tarfile.SYMTYPE, linkname="/etc"), entry("hard", tarfile.LNKTYPE, linkname="door/passwd")], "is a hard link to"),
    ([entry("a/.wh..")], "removes nothing"),
    ([entry("../.wh.up")], "leads out of the image"),
    ([entry("huge", size=1 << 45)], "unpacks to more than"),
])
def test_a_layer_that_reaches_out_is_refused(node, program, tmp_path, entries, text):
    before = set((node.data / "layers").iterdir())
    headers = b"".join(one.tobuf() for one in entries) + bytes(1024)
    done = deploy(node, tmp_path, [headers], expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr
    eventually(lambda: set((node.data / "layers").iterdir()) == before and not list((node.data / "build").iterdir()), "the end of what it left")


def test_what_a_layer_brings_in_is_without_power(node, program, tmp_path):
    device = entry("dev-null", tarfile.CHRTYPE, devmajor=1, devminor=3)
    whiteout = entry("false-whiteout", tarfile.CHRTYPE, devmajor=0, devminor=0)
    opaque = entry("marked", tarfile.DIRTYPE, pax_headers={"SCHILY.xattr.user.overlay.opaque": "y"})
    layers = [
        tar_of([(entry("program"), program), (entry("marked/below"), b"seen"), (entry("false-whiteout"), b"seen")]),
        tar_of([(entry("setuid", mode=0o6755, uid=0), program), (entry("secret", mode=0o600, uid=4711), b"text"),
                device, whiteout, opaque, entry("pipe", tarfile.FIFOTYPE), entry("/absolute/folder", tarfile.DIRTYPE),
                entry("proc", tarfile.SYMTYPE, linkname="/tmp"), entry("dev", tarfile.SYMTYPE, linkname="/tmp"),
                entry("tmp", tarfile.SYMTYPE, linkname="/ebb/host"), entry("etc/hosts", tarfile.SYMTYPE, linkname="/program"),
                entry("passwd", tarfile.SYMTYPE, linkname="/etc/passwd"), (entry("ebb/runtime/python/program.py"), b"boom")])]
    deploy(node, tmp_path, layers, app="powerless")

    def get(path):
        return node.call(f"/fn/powerless/f/{path}")
    assert get("mode/setuid").text == "100755 65534" and get("mode/secret").text.startswith("100644")
    for gone in ("dev-null", "pipe"):
        assert get(f"mode/{gone}").status_code == 404, gone
    assert get("file/marked/below").text == "seen" and get("file/false-whiteout").text == "seen"
    assert get("mode/absolute/folder").text.startswith("40755")
    assert get("file/passwd").status_code == 404, "the host's"
    assert get("file/etc/hosts").text.startswith("127.0.0.1")
    assert get("mode/proc").text.startswith("40") and get("mode/dev").text.startswith("40") and get("mode/tmp").text.startswith("41777")
    assert "CapEff:\t0000000000000000" in get("file/proc/self/status").text
    assert "NoNewPrivs:\t1" in get("file/proc/self/status").text


def test_a_layer_of_too_many_entries_is_refused(node, tmp_path, monkeypatch):
    """The script itself, with a smaller bound: 400,000 real entries would take a minute."""
    import hashlib

    unpack = module_at("runtimes/image/unpack.py")
    data = tar_of([entry(f"file{number}") for number in range(20)])
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / name).write_bytes(data)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(unpack.Refused, match="more than 10 files"):
        unpack.unpack(f"sha256:{name}", f"sha256:{name}", 10, 1 << 30, f"{tmp_path}/", str(root))
    bomb = tar_of([(entry("zeros"), bytes(1 << 20))])
    import gzip
    packed = gzip.compress(bomb)
    name = hashlib.sha256(packed).hexdigest()
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(unpack.Refused, match="unpacks to more"):
        unpack.unpack(f"sha256:{name}", "sha256:" + "0" * 64, 10, 1 << 18, f"{tmp_path}/", str(root))
