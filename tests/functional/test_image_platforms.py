"""Images for several platforms, as public ones are: indexes of OCI and docker's manifest lists, with variants and attestations, in a real
registry and in a layout; which of them a node takes, and what it says where there is none for it."""

import pytest
import requests

import images
from images import MACHINE, Layout, entry, tar_of
from test_image import NEEDED, deploy, get, node, registry  # noqa: F401 (the last two are fixtures)

pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"not installed: {', '.join(NEEDED)}")
OTHER = "arm64" if MACHINE == "amd64" else "amd64"
LIST_OF_DOCKER = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return images.compile_program(tmp_path_factory.mktemp("program")).read_bytes()


class Platforms:
    """A layout with an image for each platform, "os/architecture/variant": the file /platform in it says which it is for."""

    def __init__(self, folder, program, platforms, attested=False):
        self.layout = Layout(folder, [tar_of([(entry("program"), program)])], {"Cmd": ["/program"]})
        self.digests = {}
        entries, attestations = [], []
        for platform in platforms:
            system, architecture, *variant = platform.split("/")
            # What is for other machines is no program: it would not start.
            layer = tar_of([(entry("program"), program if architecture == MACHINE else b"\0"), (entry("platform"), platform.encode())])
            described = self.layout.add_image([layer], {"Cmd": ["/program"]}, architecture, system=system)
            self.digests[platform] = described["digest"]
            entries.append({**described, "platform": {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}})
            if attested:
                attestations.append(self.layout.add_attestation(described))
        self.index = self.layout.name_index(entries + attestations)["digest"]

    def push(self, registry, name, *words):
        return registry.push(f"oci:{self.layout.folder}", name, "--all", *words)


PUBLIC = ("linux/arm/v6", "linux/arm/v7", f"linux/{OTHER}/v8", "linux/s390x", f"windows/{MACHINE}", f"linux/{MACHINE}", "linux/ppc64le")


def runs(node, app):
    return get(node, "file/platform", app).text


def digest(node, app):
    return node.functions(app)[f"{app}/f"]["spec"]["image"]["digest"]


def media_of(name):
    address, _, rest = name.partition("/")
    path, _, tag = rest.rpartition(":")
    answer = requests.get(f"http://{address}/v2/{path}/manifests/{tag}", headers={"Accept": f"{images.OCI['index']}, {LIST_OF_DOCKER}"}, timeout=20)
    return answer.headers["Content-Type"], answer.headers["Docker-Content-Digest"]


@pytest.mark.parametrize("attested", [False, True], ids=["plain", "with attestations"])
def test_an_index_of_oci_by_tag_and_by_digest(node, registry, program, tmp_path, attested):
    made = Platforms(tmp_path / "l", program, PUBLIC, attested)
    app = "attested" if attested else "index"
    name = made.push(registry, f"team/{app}:v1")
    assert media_of(name) == (images.OCI["index"], made.index), "the registry has the index itself"
    deploy(node, app, name)
    own = made.digests[f"linux/{MACHINE}"]
    assert runs(node, app) == f"linux/{MACHINE}" and digest(node, app) == own
    bare = name.rpartition(":")[0]
    for reference in (f"{bare}@{made.index}", f"{bare}@{own}", f"{name}@{made.index}"):
        node.cli("rm", app, "--yes")
        deploy(node, app, reference)
        assert runs(node, app) == f"linux/{MACHINE}" and digest(node, app) == own, reference


def test_a_manifest_list_of_docker_by_tag_and_by_digest(node, registry, program, tmp_path):
    made = Platforms(tmp_path / "l", program, PUBLIC)
    name = made.push(registry, "team/list:v1", "--format", "v2s2")
    kind, listed = media_of(name)
    assert kind == LIST_OF_DOCKER
    for reference in (name, f"{name.rpartition(':')[0]}@{listed}"):
        deploy(node, "list", reference)
        assert runs(node, "list") == f"linux/{MACHINE}", reference
        node.cli("rm", "list", "--yes")


@pytest.mark.parametrize("variants, taken", [(("v3", "v2", None), None), (("v3", "v2"), "v2"), (("v4", "v1", "v3"), "v1")])
def test_of_several_variants_the_one_that_asks_the_least(node, registry, program, tmp_path, variants, taken):
    """A processor of the first generation runs it too."""
    names = {variant: f"linux/{MACHINE}" + (f"/{variant}" if variant else "") for variant in variants}
    made = Platforms(tmp_path / "l", program, names.values())
    deploy(node, "pushed", made.push(registry, "team/variants:v1"))
    deploy(node, "local", ("oci", made.layout.folder))
    assert [runs(node, app) for app in ("pushed", "local")] == [names[taken]] * 2


def test_an_index_in_a_layout_and_in_an_archive(node, program, tmp_path):
    made = Platforms(tmp_path / "l", program, PUBLIC, attested=True)
    deploy(node, "layout", ("oci", made.layout.folder))
    images.run("tar", "-C", made.layout.folder, "-cf", tmp_path / "image.tar", ".")
    deploy(node, "archive", ("oci-archive", tmp_path / "image.tar"))
    assert [runs(node, app) for app in ("layout", "archive")] == [f"linux/{MACHINE}"] * 2
    assert [digest(node, app) for app in ("layout", "archive")] == [made.digests[f"linux/{MACHINE}"]] * 2


@pytest.mark.parametrize("pushed", [True, False], ids=["registry", "layout"])
def test_an_index_without_this_platform_says_what_there_is(node, registry, program, tmp_path, pushed):
    made = Platforms(tmp_path / "l", program, ("linux/arm/v7", f"linux/{OTHER}", f"windows/{MACHINE}"), attested=True)
    reference = made.push(registry, "team/elsewhere:v1") if pushed else ("oci", made.layout.folder)
    done = deploy(node, "elsewhere", reference, expect=None)
    offered = ", ".join(sorted((f"linux/{OTHER}", "linux/arm/v7", f"windows/{MACHINE}")))
    assert done.returncode != 0 and f"the image is for {offered}, this node is linux/{MACHINE}" in done.stderr, done.stderr
    assert "unknown" not in done.stderr


def test_an_index_of_attestations_alone_is_for_no_machine(node, program, tmp_path):
    made = Platforms(tmp_path / "l", program, (f"linux/{MACHINE}",))
    made.layout.name_index([made.layout.add_attestation(made.layout.manifest)])
    done = deploy(node, "nothing", ("oci", made.layout.folder), expect=None)
    assert done.returncode != 0 and "for no machine at all" in done.stderr, done.stderr
