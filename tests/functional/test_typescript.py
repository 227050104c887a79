"""A project in TypeScript as `runtime: node`: compiled by its own tsc, before the deployment or by its build command, with its packages by
lock file, and errors that name lines of the TypeScript."""

import json
import pathlib
import shutil

import pytest

from ebb_node import ROOT, eventually, parse_json
from lambda_clients import built, program, run
from npm_registry import needs_npm

pytestmark = [pytest.mark.slow, needs_npm]

SOURCES = pathlib.Path(__file__).parent / "typescript"
SPEC = {"runtime": "node", "handler": "dist/index.handler", "memory": "256Mi", "env": {"NODE_OPTIONS": "--enable-source-maps"}}


def _compiled(work):
    run(program("npm"), "ci", "--no-audit", "--no-fund", cwd=work)
    run(program("npm"), "run", "build", cwd=work)
    for path in list(work.iterdir()):
        if path.name != "package":
            path.rename(work / "package" / path.name)


def compiled_before(folder):
    """npm ci && npm run build && ebb deploy"""
    package = built(SOURCES, ROOT / "build/typescript", _compiled, __file__)
    shutil.copytree(package, folder, symlinks=True)
    (folder / ".ebbignore").write_text("node_modules\n")
    return {}


def compiled_by_the_node(folder):
    """`build: npm run build`, where the compiler is among `dependencies`."""
    shutil.copytree(SOURCES, folder)
    package, lock = (json.loads((folder / name).read_text()) for name in ("package.json", "package-lock.json"))
    for described in (package, lock["packages"][""]):
        described["dependencies"] |= described.pop("devDependencies")
    for entry in lock["packages"].values():
        entry.pop("dev", None)
    (folder / "package.json").write_text(json.dumps(package))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return {"build": "npm run build"}


@pytest.fixture(scope="module", params=[compiled_before, compiled_by_the_node], ids=["before", "by-the-node"])
def prices(node, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("typescript") / "package"
    keys = request.param(folder)
    (folder / "ebb.yaml").write_text(json.dumps({"app": "prices", "functions": {"of": SPEC}, **keys}))
    node.deployed = parse_json(node.deploy(folder).stdout)["events"]
    node.folder = folder
    yield node
    node.cli("rm", "prices", "--yes")


def test_it_answers_with_its_packages(prices):
    assert any(event["phase"] == "npm" and event["message"] in ("installing package-lock.json", "packages unchanged") for event in prices.deployed)
    answer = prices.call("prices/of", json={"title": "Tea", "count": 3})
    assert (answer.status_code, answer.json()) == (200, {"price": 750, "of": "of"})
    refused = prices.call("prices/of", json={"title": "", "count": 1.5})
    assert (refused.status_code, refused.json()) == (400, ["title", "count"])


def test_an_error_names_the_line_of_the_typescript(prices):
    answer = prices.call("prices/of", json={"title": "unknown", "count": 1})
    assert answer.status_code == 502 and "RangeError: no price for unknown" in answer.text, answer.text
    source = (SOURCES / "src/price.ts").read_text().splitlines()
    thrown = next(number for number, line in enumerate(source, 1) if "throw" in line)

    def text():
        return "\n".join(line["text"] for line in prices.logs("prices/of", request=answer.headers["x-ebb-request-id"]))

    eventually(lambda: f"/var/task/src/price.ts:{thrown}:" in text(), "the line of the TypeScript in the log", evidence=text)
    assert "/var/task/src/index.ts:" in text() and ".js:" not in text()


def test_what_does_not_compile_is_refused_and_the_version_before_goes_on(prices):
    if not any(event["phase"] == "build" and "tsc" in event["message"] for event in prices.deployed):
        pytest.skip("compiled before the deployment: tsc says it there")
    source = prices.folder / "src/price.ts"
    right = source.read_text()
    source.write_text(right.replace("item.count *", "item.title *"))
    try:
        refused = prices.deploy(prices.folder, expect=2)
    finally:
        source.write_text(right)
    assert "src/price.ts" in refused.stderr + refused.stdout and "TS2362" in refused.stderr + refused.stdout, refused.stderr
    assert prices.call("prices/of", json={"title": "Tea", "count": 3}).json()["price"] == 750
