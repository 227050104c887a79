"""Container images as functions: real layouts by umoci, a real registry, both contracts, what is pulled and unpacked how often,
and what is said of images that cannot run. Hostile layers: tests/security/test_hostile_layers.py."""

import json
import pathlib
import shutil

import pytest

import images
from ebb_node import eventually
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


def test_it_goes_to_zero_and_comes_back(node, layout):
    deploy(node, "sleepy", ("oci", layout), idle_timeout="100ms")
    assert get(node, "me", "sleepy").status_code == 200
    eventually(lambda: not node.pids_in("instances", "sleepy"), "the end of the idle instance", 20)
    again = get(node, "me", "sleepy")
    assert again.status_code == 200 and "fork" in again.headers["server-timing"], again.headers


def test_its_end_is_said_and_the_next_call_served(served):
    answer = get(served, "exit/3")
    assert answer.status_code == 502 and "ended with exit status 3" in answer.text
    assert get(served, "me").status_code == 200


def test_layers_are_unpacked_once_for_all_images(node, served, layout, tmp_path):
    copy = tmp_path / "layout"
    shutil.copytree(layout, copy)
    more = tmp_path / "more"
    more.write_text("more")
    image = Umoci.__new__(Umoci)
    image.folder, image._image = copy, f"{copy}:v1"
    image.insert(more, "/more")
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
    done = deploy(node, "foreign", ("oci", Layout(tmp_path / "l", small(program), {"Cmd": ["/program"]}, other).folder), expect=None)
    assert done.returncode != 0 and f"is built for linux/{other}" in done.stderr, done.stderr


def test_a_damaged_layer_is_said(node, program, tmp_path):
    layout = Layout(tmp_path / "l", small(program), {"Cmd": ["/program"]})
    manifest = json.loads(layout.blob(layout.manifest).read_text())
    blob = layout.blob(manifest["layers"][0])
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
    image = Umoci.__new__(Umoci)
    image.folder, image._image = copy, f"{copy}:v1"
    image.insert(tmp_path / "new", "/new")
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
