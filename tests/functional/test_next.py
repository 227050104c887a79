"""A Next.js application, unchanged, as `runtime: http`: built by its own build (`output: 'standalone'`), before the deployment or by its
build command, and asked for what such an application is made of, with no network."""

import json
import re
import shutil

import pytest

import web_servers
from ebb_node import eventually, server_timing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(web_servers.missing("next")), reason="no node or no npm on this machine")]

SPEC = {"runtime": "http", "memory": "512Mi", "timeout": "30s", "concurrency": 20, "scale": {"max": 1}, "env": {"KEEP_ALIVE_TIMEOUT": "3600000"}}
# As docs/tasks/programs.md has it: Turbopack reads nothing outside of the project's folder, so the layer is copied.
BUILD = """set -e
cp -R /ebb/layer/node_modules .
NEXT_TELEMETRY_DISABLED=1 npm run build
cp -R public .next/standalone/
cp -R .next/static .next/standalone/.next/
rm -rf node_modules .next/cache
"""


def built_before(folder):
    shutil.copytree(web_servers.package("next"), folder, symlinks=True)
    return {}, "exec node server.js"


def built_by_the_node(folder):
    shutil.copytree(web_servers.SOURCES / "next", folder)
    return {"build": BUILD}, "exec node .next/standalone/server.js"


@pytest.fixture(scope="module", params=[built_before, built_by_the_node], ids=["before", "by-the-node"])
def deploy(node, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("next") / "package"
    top, command = request.param(folder)

    def one(app, **keys):
        (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"web": {**SPEC, "command": command, **keys}}, **top}))
        node.deploy(folder)

    return one


@pytest.fixture(scope="module")
def site(node, deploy):
    deploy("shelf")
    yield node
    node.cli("rm", "shelf", "--yes")


def lines(node):
    return [line["text"] for line in node.logs("shelf/web")]


def born(answer):
    return re.search(r'data-born="([^"]+)"', answer.text)[1]


def test_a_page_is_rendered_for_its_request(site):
    answer = site.call("shelf/web/shelf?of=tea")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"), answer.text
    assert re.search(r"Books of (<!-- -->)?tea", answer.text) and 'data-prefix="/fn/shelf/web"' in answer.text
    again = site.call("shelf/web/shelf?of=salt")
    assert re.search(r"Books of (<!-- -->)?salt", again.text) and born(again) == born(answer)
    assert server_timing(again)["start"]["desc"] == "idle"


def test_what_was_made_by_the_build_is_served(site):
    page = site.call("shelf/web")
    assert page.status_code == 200 and "taken" in page.text
    assert page.headers["x-nextjs-cache"] == "HIT"
    scripts = re.findall(r'<script src="([^"]+)"', page.text)
    assert scripts and all(script.startswith("/fn/shelf/web/_next/static/") for script in scripts), scripts
    for script in scripts:  # as a browser would: from the address that the page names
        answer = site.call(script)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/javascript"), script
        assert "immutable" in answer.headers["cache-control"]
    public = site.call("shelf/web/about.txt")
    assert (public.status_code, public.text) == (200, "Shelves of wood.\n")
    same = site.call("shelf/web/about.txt", headers={"If-None-Match": public.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_a_route_takes_a_body(site):
    answer = site.call("shelf/web/api/books", json={"title": "Tea", "pages": 7})
    assert answer.status_code == 201, answer.text
    assert {key: answer.json()[key] for key in ("title", "pages")} == {"title": "Tea", "pages": 7}
    assert site.call("shelf/web/api/books").status_code == 405


def test_a_route_streams(site):
    with site.call("shelf/web/stream", stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = answer.iter_content(None)
        assert next(pieces) == b"data: first\n\n"
        # The last is made when it is asked for, which is when the first is here.
        assert site.call("shelf/web/stream", method="POST").status_code == 204
        assert b"".join(pieces) == b"data: last\n\n"


def test_what_is_not_there(site):
    answer = site.call("shelf/web/nothing/here")
    assert answer.status_code == 404 and "This page could not be found" in answer.text


def test_an_error_of_a_page_is_its_answer_and_in_the_log(site):
    before = born(site.call("shelf/web/shelf?of=tea"))
    answer = site.call("shelf/web/broken")
    assert answer.status_code == 500 and "no such book" not in answer.text
    eventually(lambda: any("no such book" in line for line in lines(site)), "the error in the log", evidence=lambda: lines(site))
    record, = site.usage("shelf/web", request=answer.headers["x-ebb-request-id"])
    assert (record["outcome"], record["http_status"]) == ("ok", 500)
    assert born(site.call("shelf/web/shelf?of=tea")) == before


def test_what_it_prints_is_in_the_log(site):
    assert any("Next.js" in line for line in lines(site)), "what it says of its start"
    site.call("shelf/web/shelf?of=lines")
    eventually(lambda: "asked for lines" in lines(site), "the line in the log", evidence=lambda: lines(site))


def test_a_page_is_made_anew(site):
    def made():
        return re.search(r'data-made="(\d+)"', site.call("shelf/web/news").text)[1]

    first = made()
    eventually(lambda: made() != first, "another page")
    assert not any("Failed to update" in line for line in lines(site)), "nothing is written beside the program"


def test_it_goes_to_zero_and_comes_back(site, deploy):
    deploy("shelf-zero", idle_timeout="0s")

    def serving():
        instances = site.functions("shelf-zero")["shelf-zero/web"]["instances"]
        return sum(instances.values()) - instances["spare"]

    seen = set()
    for _ in range(2):
        eventually(lambda: serving() == 0, "that none has served")
        answer = site.call("shelf-zero/web/shelf?of=tea")
        assert answer.status_code == 200 and server_timing(answer)["start"]["desc"] in ("fork", "spare"), answer.text
        seen.add(born(answer))
    assert len(seen) == 2
    site.cli("rm", "shelf-zero", "--yes")


def test_an_application_with_a_base_path_sees_it(node, tmp_path):
    """As docs/tasks/programs.md has it: `basePath` in place of `assetPrefix`, and `prefix: keep`."""
    folder = tmp_path / "package"
    shutil.copytree(web_servers.SOURCES / "next", folder)
    config = folder / "next.config.mjs"
    written = config.read_text()
    config.write_text(written.replace("assetPrefix: '/fn/shelf/web'", "basePath: '/fn/based/web'"))
    assert config.read_text() != written
    spec = {**SPEC, "command": "exec node .next/standalone/server.js", "prefix": "keep"}
    (folder / "ebb.yaml").write_text(json.dumps({"app": "based", "build": BUILD, "functions": {"web": spec}}))
    node.deploy(folder)
    page = node.call("based/web")
    assert page.status_code == 200 and page.history == [] and "taken" in page.text
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert named and all(name.startswith("/fn/based/web") for name in named), named
    for name in named:
        assert node.call(name).status_code == 200, name
    assert re.search(r"Books of (<!-- -->)?tea", node.call("based/web/shelf?of=tea").text)
    assert node.call("based/web/about.txt").text == "Shelves of wood.\n"
    assert node.call("based/web/api/books", json={"title": "Tea", "pages": 7}).status_code == 201
    node.cli("rm", "based", "--yes")
