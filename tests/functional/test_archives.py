"""Archives as no honest client makes them, straight to the control plane: each is refused by name and leaves nothing."""

import gzip
import io
import json
import os
import subprocess
import tarfile
import zipfile

import pytest

from ebb_node import eventually

MANIFEST = json.dumps({"app": "app", "functions": {"f": {"handler": "app.handler"}}}).encode()
GOOD = b"def handler(event, context):\n    return 'good'\n"


def upload(node, archive):
    """The status of the deployment when it has ended; of a refused upload the response."""
    response = node.call("/api/v1/deployments", data=archive, method="POST", headers={"Content-Type": "application/octet-stream"})
    if response.status_code != 202:
        return response
    path = response.json()["path"]
    ended = lambda: (status := node.call(f"{path}?wait_ms=2000").json())["state"] != "running" and status  # noqa: E731
    return eventually(ended, "the end of the deployment", 120)


def tar(*members, mode="w:gz"):
    """A tar with a good app and the members given: (name, content) or a TarInfo."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for member in (("ebb.yaml", MANIFEST), ("app.py", GOOD), *members):
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return made.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.devmajor, info.devminor = 1, 3
    return info


@pytest.fixture(scope="module", autouse=True)
def good(node):
    assert upload(node, tar())["state"] == "succeeded"


def packages(node):
    return sorted(os.listdir(node.data / "packages")), sorted(os.listdir(node.data / "layers"))


def refused(node, archive, *words, code="invalid_argument"):
    before, pids = packages(node), node.pids()
    status = upload(node, archive)
    assert status["state"] == "failed" and status["error"]["code"] == code, status
    for word in words:
        assert word in status["error"]["message"], status["error"]["message"]
    assert packages(node) == before
    eventually(lambda: node.pids() <= pids, "the end of every process of the deployment")
    answer = node.call("app/f")
    assert answer.text == "good" and answer.headers["X-Ebb-Version"] == "1"


def test_tar_and_zip_are_taken(node):
    assert upload(node, tar(mode="w"))["functions"][0]["unchanged"] is True
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ebb.yaml", MANIFEST)
        archive.writestr("app.py", GOOD)
    assert upload(node, made.getvalue())["functions"][0]["unchanged"] is True


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "a/b/../../../evil", "/etc/evil", "a/./../../evil"])
def test_paths_that_lead_out(node, name):
    refused(node, tar((name, b"x")), "evil")
    assert not (node.data / "packages" / "evil").exists() and not (node.data / "evil").exists() and not os.path.exists("/etc/evil")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "a/../../x", ".."])
def test_symlinks_that_lead_out(node, target):
    refused(node, tar(special("link", tarfile.SYMTYPE, target)), "link")


def test_file_through_a_symlink(node):
    refused(node, tar(special("d", tarfile.SYMTYPE, "/tmp"), ("d/evil", b"x")), "d")
    assert not os.path.exists("/tmp/evil")


def test_hard_links_that_lead_out(node):
    refused(node, tar(special("hard", tarfile.LNKTYPE, "/etc/passwd")), "passwd")
    refused(node, tar(special("hard", tarfile.LNKTYPE, "../../metadata.db")), "metadata.db")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes(node, kind):
    refused(node, tar(special("thing", kind)), "thing", "device")


def test_links_inside_are_kept(node):
    manifest = json.dumps({"app": "linked", "functions": {"f": {"handler": "inner.handler"}}}).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in (("ebb.yaml", manifest), ("app.py", GOOD)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        archive.addfile(special("inner.py", tarfile.SYMTYPE, "app.py"))
    assert upload(node, made.getvalue())["state"] == "succeeded"
    assert node.call("linked/f").text == "good"


def test_ten_gigabytes_declared(node):
    huge = tarfile.TarInfo("huge")
    huge.size = 10 << 30
    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as archive:
        info = tarfile.TarInfo("ebb.yaml")
        info.size = len(MANIFEST)
        archive.addfile(info, io.BytesIO(MANIFEST))
        archive.fileobj.write(huge.tobuf())
    refused(node, bomb.getvalue(), "1Gi", code="too_large")


def test_ten_gigabytes_sparse(node, tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(10 << 30)
    (tmp_path / "ebb.yaml").write_bytes(MANIFEST)
    made = subprocess.run(["tar", "--sparse", "-cz", "-C", tmp_path, "ebb.yaml", "huge"], capture_output=True, check=True).stdout
    assert len(made) < 100_000
    refused(node, made, "1Gi", code="too_large")


def test_compressed_bomb(node):
    """The real thing: the bytes are there, a thousand times more than was sent."""
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", compresslevel=1) as out:
        info = tarfile.TarInfo("ebb.yaml")
        info.size = len(MANIFEST)
        out.write(info.tobuf() + MANIFEST + b"\0" * (-len(MANIFEST) % 512))
        for number in range(9):
            member = tarfile.TarInfo(f"zeros{number}")
            member.size = 128 << 20
            out.write(member.tobuf())
            for _ in range(128):
                out.write(bytes(1 << 20))
        out.write(bytes(1024))
    refused(node, bomb.getvalue(), "1Gi", code="too_large")


def test_gzip_within_gzip(node):
    refused(node, gzip.compress(tar()))


def test_too_many_entries(node):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as archive:
        for number in range(50_001):
            archive.addfile(tarfile.TarInfo(f"f{number}"))
    refused(node, made.getvalue(), "50", code="too_large")


@pytest.mark.parametrize("archive", [b"not an archive at all", b"\x1f\x8b\x08\x00broken", b"PK\x03\x04" + b"\0" * 30, bytes(10240)],
                         ids=["text", "gzip", "zip", "zeros"])
def test_what_is_no_archive(node, archive):
    refused(node, archive)


def test_truncated_archive(node):
    whole = tar(("data", os.urandom(100_000)))
    refused(node, whole[: len(whole) // 2])


def test_archive_without_manifest(node):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("deep/ebb.yaml")
        info.size = len(MANIFEST)
        archive.addfile(info, io.BytesIO(MANIFEST))
    status = upload(node, made.getvalue())
    assert status["state"] == "failed" and "ebb.yaml" in status["error"]["message"]


def test_empty_upload(node):
    response = upload(node, b"")
    assert response.status_code == 400 and "empty" in response.json()["error"]["message"]


def test_path_names_with_control_characters(node):
    refused(node, tar(("a\nb", b"x")))
    refused(node, tar(("a\x1b[2J", b"x")))


def test_same_entry_twice(node):
    refused(node, tar(("app.py", b"raise SystemExit\n")), "app.py")
