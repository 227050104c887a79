"""Container images as functions: real layouts by umoci, a real registry, both contracts, what is pulled and unpacked how often,
and what is said of images that cannot run. Hostile layers: tests/security/test_hostile_layers.py."""

import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import time

import pytest

import images
from images import Layout, Umoci, entry, tar_of

NEEDED = images.missing_tools("skopeo", "umoci", "docker-registry", "gcc")
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"not installed: {', '.join(NEEDED)}")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with images.registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture(scope="module")
def node(registry, node):  # the registry first: it is no process of the node's
    return node


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return images.compile_program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory, program):
    """An image of five layers: what the upper ones take away and put in its place is to be seen as they say."""
    folder = tmp_path_factory.mktemp("image")
    base, upper = folder / "base", folder / "upper"
    for path in ("data/old", "data/kept", "closed/below", "gone/inner", "app/readme"):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(f"{path} of the base")
    (base / "data/link").symlink_to("/data/kept")
    shutil.copy(program, base / "program")
    upper.mkdir()
    (upper / "above").write_text("of the upper layer")
    one = Umoci(folder / "layout", "v1")
    one.insert(base, "/").whiteout("/data/old").whiteout("/gone").insert(upper, "/closed", opaque=True).insert(upper, "/data")
    one.config(entrypoint=["/program", "first"], cmd=["second word"], env=["COLOUR=blue", "SHAPE=round"], workingdir="/app", user="nobody")
    return one.folder


def deploy(node, app, reference, expect=0, files=None, **spec):
    """`reference` of a layout in the package: ("oci", folder)."""
    folder = node.directory / f"package-{app}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if isinstance(reference, tuple):
        kind, source = reference
        target = folder / "image"
        shutil.copytree(source, target) if pathlib.Path(source).is_dir() else shutil.copy(source, target)
        reference = f"{kind}:image"
    function = {"runtime": "http", "memory": "128Mi", "image": reference, **spec}
    (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"f": function}}))
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    return node.deploy(folder, expect=expect)


def events(done):
    return [event["message"] for event in json.loads(done.stdout)["events"] if event["phase"] == "image"]


def get(node, path, app="image"):
    return node.call(f"/fn/{app}/f/{path}")


@pytest.fixture(scope="module")
def served(node, layout):
    done = deploy(node, "image", ("oci", layout), env={"SHAPE": "square"}, files={"note.txt": "of the package"})
    assert any("5 new" in message for message in events(done)), done.stdout
    assert sum("unpacking layer" in message for message in events(done)) == 5
    return node


def test_layers_lie_over_each_other_as_the_image_says(served):
    assert get(served, "list/data").text.split() == ["above", "kept", "link"]
    assert get(served, "file/data/kept").text == "data/kept of the base"
    assert get(served, "file/data/link").text == "data/kept of the base"
    assert get(served, "file/data/old").status_code == 404
    assert get(served, "list/gone").status_code == 404
    assert get(served, "list/closed").text.split() == ["above"]


def test_the_settings_of_the_image_hold_and_ebb_yaml_has_the_last_word(served):
    assert get(served, "me").text == "1000 1000 /app /program first second word"
    seen = dict(line.split("=", 1) for line in get(served, "env").text.splitlines())
    assert seen["COLOUR"] == "blue" and seen["SHAPE"] == "square" and seen["HOME"] == "/tmp"
    assert not [name for name in seen if name.startswith(("PYTHON", "LD_", "EBB_"))], seen
    assert seen["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_only_scratch_places_can_be_written(served):
    for path in ("data/x", "x", "ebb/x", "etc/hosts", "ebb/host/usr/x", "ebb/package/x", "proc/sys/kernel/hostname"):
        assert get(served, f"write/{path}").status_code == 404, path
    for path in ("tmp/x", "run/x.pid", "var/tmp/y", "dev/shm/x"):
        assert get(served, f"write/{path}").text == "written", path


def test_the_host_is_not_there_but_for_what_runs_the_runtime(served):
    assert set(get(served, "list/").text.split()) == {
        "app", "closed", "data", "dev", "ebb", "etc", "proc", "program", "run", "sys", "tmp", "var"}
    assert get(served, "list/etc").text.split() == ["hosts", "resolv.conf"]
    assert get(served, "file/ebb/package/note.txt").text == "of the package"
    assert get(served, "list/ebb/package").text.split() == ["ebb.yaml", "note.txt"], "the image itself is not carried along"
    assert get(served, "file/proc/kcore").status_code == 404
    assert get(served, "list/dev").text.split() == [
        "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]


def test_layers_are_unpacked_once_for_all_images(node, served, layout, tmp_path):
    copy = tmp_path / "layout"
    shutil.copytree(layout, copy)
    more = tmp_path / "more"
    more.write_text("more")
    Umoci.at(copy, "v1").insert(more, "/more")
    done = deploy(node, "second", ("oci", copy))
    assert any("6 layers, 1 new" in message for message in events(done)), events(done)
    assert get(node, "file/more", "second").text == "more"
    done = deploy(node, "second", ("oci", copy), env={"A": "b"})
    assert any("all here" in message for message in events(done)) and not any("unpacking" in message for message in events(done))


def test_one_that_starts_fresh_has_the_same_root(node, layout):
    deploy(node, "fresh", ("oci", layout), reuse="never")
    assert get(node, "file/data/kept", "fresh").text == "data/kept of the base"
    assert get(node, "write/tmp/x", "fresh").text == "written" and get(node, "list/tmp", "fresh").text.split() == []


def test_a_lambda_function_in_an_image(node, layout):
    done = deploy(node, "lambda", ("oci", layout), runtime="lambda", handler="orders.take", command="exec /program lambda", expect=None)
    assert done.returncode != 0 and "no shell /bin/sh" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def archive(tmp_path_factory, program):
    """A docker archive with a shell, as `docker save` writes them."""
    folder = tmp_path_factory.mktemp("archive")
    one = Umoci(folder / "layout", "v1").insert(program, "/program").insert(shutil.which("busybox"), "/bin/sh")
    one.config(entrypoint=["/program"], cmd=["lambda"])
    images.run("skopeo", "--insecure-policy", "copy", f"oci:{folder}/layout:v1", f"docker-archive:{folder}/image.tar:shop/lambda:v1")
    images.run("skopeo", "--insecure-policy", "copy", f"oci:{folder}/layout:v1", f"oci-archive:{folder}/oci.tar:v1")
    return folder


@pytest.mark.parametrize("kind, file", [("docker-archive", "image.tar"), ("oci-archive", "oci.tar")])
def test_an_archive_as_a_lambda_function(node, archive, kind, file):
    deploy(node, "archived", (kind, archive / file), runtime="lambda", handler="orders.take")
    told = json.loads(node.cli("invoke", "archived/f", "--data", '{"a": 1}').stdout)
    assert told == {"event": {"a": 1}, "handler": "orders.take"}
    assert any("REPORT RequestId" in line["text"] for line in node.logs("archived/f"))


def test_the_command_of_ebb_yaml_stands_instead(node, archive):
    deploy(node, "commanded", ("docker-archive", archive / "image.tar"), command="exec /program by $SHAPE", env={"SHAPE": "command"})
    assert get(node, "me", "commanded").text == "1000 1000 / /program by command"


def test_layers_that_no_version_uses_go_a_week_after_they_were_made(node, program, tmp_path):
    def deploy_with(app, text):
        layers = small(program) + [tar_of([(entry("note"), text.encode())])]
        before = set((node.data / "layers").iterdir())
        deploy(node, app, ("oci", Layout(tmp_path / app, layers, {"Cmd": ["/program"]}).folder))
        return set((node.data / "layers").iterdir()) - before

    deploy_with("base-of-both", "nothing")  # what they share
    (old,), (young,) = deploy_with("old", "old"), deploy_with("young", "young")
    week_ago = time.time() - 8 * 86400
    for layer in (node.data / "layers").iterdir():
        if layer != young:
            os.utime(layer, (week_ago, week_ago))
    node.cli("rm", "old", "--yes")
    node.cli("rm", "young", "--yes")
    deploy_with("next", "next")
    assert not old.exists() and young.exists()
    assert get(node, "file/note", "base-of-both").text == "nothing", "that is old, and used"
    deploy_with("old-again", "old")
    assert old.exists() and get(node, "file/note", "old-again").text == "old"


# What cannot run.


def small(program, name="program", **more):
    return [tar_of([(entry(name, **more), pathlib.Path(program).read_bytes())])]


@pytest.mark.parametrize("settings, text", [
    ({}, "neither ENTRYPOINT nor CMD"),
    ({"Entrypoint": ["/nothing"]}, "no program '/nothing'"),
    ({"Entrypoint": ["/text"]}, "neither a program for this node's processor"),
    ({"Entrypoint": ["/program"], "WorkingDir": "/nowhere"}, "no directory /nowhere"),
    ({"Cmd": ["/program", "lambda"]}, "before it was ready"),
])
def test_settings_that_cannot_start_are_said(node, program, tmp_path, settings, text):
    layers = small(program) + [tar_of([(entry("text"), b"\0\0\0\0 no program")])]
    done = deploy(node, "unstartable", ("oci", Layout(tmp_path / "l", layers, settings).folder), expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr


def test_another_processor_is_said(node, program, tmp_path):
    other = "arm64" if images.MACHINE == "amd64" else "amd64"
    done = deploy(node, "foreign", ("oci", Layout(tmp_path / "l", small(program), {"Cmd": ["/program"]}, architecture=other).folder), expect=None)
    assert done.returncode != 0 and f"is built for linux/{other}" in done.stderr, done.stderr


def layer_with_digits(digits):
    """One whose packed digest has these digits in it."""
    for number in range(100_000):
        layer = tar_of([(entry("note"), str(number).encode())])
        if digits in hashlib.sha256(gzip.compress(layer, 1, mtime=0)).hexdigest():
            return layer
    raise AssertionError("no such digest")


@pytest.mark.parametrize("digits", ["401", "403", "404"])
def test_a_damaged_layer_is_said(node, program, tmp_path, digits):
    """Also where its digest looks like a status of HTTP."""
    layout = Layout(tmp_path / "l", [*small(program), layer_with_digits(digits)], {"Cmd": ["/program"]})
    manifest = json.loads(layout.blob(layout.manifest).read_text())
    blob = layout.blob(manifest["layers"][1])
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    done = deploy(node, "damaged", ("oci", layout.folder), expect=None)
    assert done.returncode != 0 and "damaged" in done.stderr, done.stderr


def test_a_layer_that_is_not_the_one_it_says_is_refused(node, program, tmp_path):
    layout = Layout(tmp_path / "l", small(program), {"Cmd": ["/program"]}, diff_ids=["sha256:" + "a" * 64])
    done = deploy(node, "mismatched", ("oci", layout.folder), expect=None)
    assert done.returncode != 0 and "is not the one it says" in done.stderr, done.stderr
    assert not any("a" * 64 in name.name for name in (node.data / "layers").iterdir())


@pytest.mark.parametrize("spec, text", [
    ({"image": "oci:../elsewhere"}, "write registry/name:tag"),
    ({"image": "--option"}, "write registry/name:tag"),
    ({"image": "a/b", "runtime": "python3", "handler": "a.b"}, "is python3"),
    ({"image": "a/b", "isolation": "gvisor"}, "runs no images"),
])
def test_what_ebb_yaml_may_not_say(node, spec, text):
    function = {"runtime": "http", **spec}
    done = node.deploy({"ebb.yaml": json.dumps({"app": "wrong", "functions": {"f": function}})}, expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr


def test_a_layout_that_is_not_there_is_said(node):
    done = node.deploy({"ebb.yaml": json.dumps({"app": "wrong", "functions": {"f": {"runtime": "http", "image": "oci:missing"}}})}, expect=None)
    assert done.returncode != 0 and "there is no such image" in done.stderr, done.stderr


# A registry.


def test_an_image_is_pulled_once_and_a_version_keeps_what_it_got(node, registry, layout, tmp_path):
    name = registry.push(f"oci:{layout}:v1", "team/tool:stable")
    done = deploy(node, "pulled", name)
    first = node.functions("pulled")["pulled/f"]
    assert first["spec"]["image"]["digest"].startswith("sha256:"), first
    assert get(node, "file/data/kept", "pulled").text == "data/kept of the base"

    before = registry.blob_downloads()
    done = deploy(node, "pulled", name, env={"A": "b"})
    assert any("all here" in message for message in events(done))
    assert registry.blob_downloads() - before <= 1, "its settings only"

    copy = tmp_path / "moved"
    shutil.copytree(layout, copy)
    (tmp_path / "new").write_text("new")
    Umoci.at(copy, "v1").insert(tmp_path / "new", "/new")
    registry.push(f"oci:{copy}:v1", "team/tool:stable")
    assert get(node, "file/new", "pulled").status_code == 404, "the version is not the tag"
    before = registry.blob_downloads()
    done = deploy(node, "pulled", name, env={"A": "b"})
    assert any("1 new" in message for message in events(done)), events(done)
    assert registry.blob_downloads() - before <= 3, "settings and the one layer that is new"
    assert get(node, "file/new", "pulled").text == "new"
    assert node.functions("pulled")["pulled/f"]["spec"]["image"]["digest"] != first["spec"]["image"]["digest"]
    exact = f"{registry.address}/team/tool@{first['spec']['image']['digest']}"
    deploy(node, "pulled", exact)
    assert get(node, "file/new", "pulled").status_code == 404


def test_what_a_registry_does_not_have_is_said(node, registry):
    for name in ("team/tool:other", "nobody/nothing"):
        done = deploy(node, "absent", f"{registry.address}/{name}", expect=None)
        assert done.returncode != 0 and "there is no such image or tag" in done.stderr, done.stderr


def test_a_registry_that_is_down_is_said(node, tmp_path):
    with images.registry(tmp_path / "r") as one:
        address = one.address
    done = deploy(node, "down", f"{address}/a/b", expect=None)
    assert done.returncode != 0 and "cannot be reached" in done.stderr, done.stderr


def test_a_private_registry(node, layout, tmp_path):
    import base64

    password = "Kx7-secret-word"
    with images.registry(tmp_path / "r", password) as one:
        name = one.push(f"oci:{layout}:v1", "team/private:v1")
        done = deploy(node, "private", name, expect=None)
        assert done.returncode != 0 and "refuses us" in done.stderr, done.stderr
        token = base64.b64encode(f"user:{password}".encode()).decode()
        auth = json.dumps({"auths": {one.address: {"auth": token}}})
        node.cli("secret", "set", "private", "registry-auth", stdin=auth.encode())
        deploy(node, "private", name)
        assert get(node, "file/data/kept", "private").text == "data/kept of the base"
        assert "AUTH" not in get(node, "env", "private").text
        wrong = json.dumps({"auths": {one.address: {"auth": base64.b64encode(b"user:wrong").decode()}}})
        node.cli("secret", "set", "private", "registry-auth", stdin=wrong.encode())
        done = deploy(node, "private", name, expect=None, env={"B": "c"})
        assert done.returncode != 0 and "refuses us" in done.stderr, done.stderr
        assert get(node, "me", "private").status_code == 200, "the version before goes on"
    for text in (node.serve_log(), done.stderr, json.dumps(node.functions("private"))):
        assert password not in text and token not in text


# The example, and what its web server has of being spoken to directly.

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/image"
ON_BUSYBOX = pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox on this machine")


def make_example(folder, **programs):
    """A copy of examples/image with its layout made, and `programs` of CGI added to that."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("layout"))
    images.run(folder / "make_image.sh")
    for name, text in programs.items():
        file = folder.parent / name
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)
        images.run("umoci", "insert", "--rootless", "--image", f"{folder}/layout:v1", file, f"/www/cgi-bin/{name}")
    return folder


@ON_BUSYBOX
def test_the_example(node, tmp_path):
    node.deploy(make_example(tmp_path / "image"))
    assert "A file of the image" in node.call("/fn/image/site/index.html").text
    assert node.call("/fn/image/site/cgi-bin/greet?name=Ada").text == "hello Ada, from user 1000 of Linux\n"
    assert node.call("/fn/image/site/nothing").status_code == 404


@ON_BUSYBOX
def test_its_server_takes_several_calls_at_a_time_and_streams(node, tmp_path):
    said = r"printf 'Content-Type: text/plain\r\n\r\n'; "
    folder = make_example(tmp_path / "several",
                          wait=said + "echo waiting; while [ ! -e /tmp/open ]; do busybox sleep 0.02; done; echo opened",
                          open=said + "echo > /tmp/open")
    function = {"runtime": "http", "image": "oci:layout:v1", "memory": "64Mi", "concurrency": 2, "scale": {"max": 1}}
    (folder / "ebb.yaml").write_text(json.dumps({"app": "several", "functions": {"f": function}}))
    node.deploy(folder)
    with node.call("/fn/several/f/cgi-bin/wait", stream=True) as waiting:
        pieces = waiting.iter_lines(chunk_size=1)
        assert next(pieces) == b"waiting"
        assert get(node, "cgi-bin/open", "several").status_code == 200, "beside it, in the same instance"
        assert next(pieces) == b"opened"


# Without an ebb.yaml.


def deploy_image(node, reference, name, *words, expect=0):
    return node.cli("deploy", "--image", reference, name, *words, expect=expect)


def test_an_image_needs_no_ebb_yaml(node, registry, layout, archive):
    deploy_image(node, f"oci:{layout}:v1", "alone/site", "--memory", "64Mi")
    function = node.functions("alone")["alone/site"]
    assert function["spec"]["memory"] == "64Mi" and function["spec"]["runtime"] == "http"
    assert node.call("/fn/alone/site/file/data/kept").text == "data/kept of the base"
    deploy_image(node, registry.push(f"oci:{layout}:v1", "team/alone:v1"), "alone/site")
    assert node.call("/fn/alone/site/file/data/kept").text == "data/kept of the base"
    deploy_image(node, f"docker-archive:{archive}/image.tar", "lonely", "--runtime", "lambda")
    assert json.loads(node.cli("invoke", "lonely/lonely", "--data", "1").stdout)["event"] == 1


def test_an_image_alone_takes_no_functions_away(node, layout):
    deploy(node, "kept", ("oci", layout))
    done = deploy_image(node, f"oci:{layout}:v1", "kept/other", expect=5)
    assert "app kept has the function f too" in done.stderr, done.stderr
    assert set(node.functions("kept")) == {"kept/f"}
    deploy_image(node, f"oci:{layout}:v1", "kept/f")


@pytest.mark.parametrize("words, text", [
    (("oci:/nowhere", "a/b"), "there is no image /nowhere"),
    (("oci-archive:/etc", "a/b"), "is a folder: write oci: before it"),
    (("team/x:1", "a/b:3"), "a version is made by the deployment"),
    (("team/x:1", "a/b", "--runtime", "python3"), "is python3"),
    (("--x", "a/b"), "is '--x', write registry/name:tag"),
    (("team/x:1",), "APP/FUNCTION"),
])
def test_what_an_image_alone_may_not_be_is_said_before_anything_is_sent(node, words, text):
    done = node.cli("deploy", "--image", *words, expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr


def test_options_of_images_are_for_images(node, tmp_path):
    done = node.cli("deploy", "--runtime", "http", str(tmp_path), expect=None)
    assert done.returncode != 0 and "--image" in done.stderr, done.stderr
