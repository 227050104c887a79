"""Flask, Django, Starlette and FastAPI applications as their users deploy them: from PyPI, unchanged, without a server."""

import json
import pathlib
import re

import pytest

from ebb_node import server_timing

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def guestbook(node):
    node.deploy(EXAMPLES / "flask")
    return "guestbook/web"


@pytest.fixture(scope="module")
def chat(node):
    node.deploy(EXAMPLES / "fastapi")
    return "chat/web"


DJANGO = '''
import time
import django
from django.conf import settings
settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", MIDDLEWARE=[
    "django.middleware.common.CommonMiddleware"], LOGGING={"version": 1, "handlers": {"err": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["err"]}}})
django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

def about(request, number):
    answer = JsonResponse({"number": number, "method": request.method, "q": request.GET.get("q"), "link": reverse("about", args=[8]),
                           "absolute": request.build_absolute_uri(), "body": request.body.decode(), "address": request.META["REMOTE_ADDR"]})
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer

def streamed(request):
    def pieces():
        for number in range(3):
            yield f"{number};"
    return StreamingHttpResponse(pieces(), content_type="text/plain")

async def streamed_async(request):
    async def pieces():
        for number in range(3):
            yield f"{number};"
    return StreamingHttpResponse(pieces(), content_type="text/plain")

def fails(request):
    raise RuntimeError("a bug in a view")

urlpatterns = [path("about/<int:number>", about, name="about"), path("streamed", streamed), path("async", streamed_async),
               path("fails", fails)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
'''


@pytest.fixture(scope="module")
def django(node):
    node.deploy_app(DJANGO, {"wsgi": {}, "asgi": {}}, app="dj", requirements="Django==5.2.19\n")


def test_flask_pages_forms_sessions_and_links(node, guestbook):
    response = node.call(f"{guestbook}/square/7")
    assert response.json() == {"number": 7, "square": 49, "link": f"{node.url}/fn/guestbook/web/square/8"}
    assert response.headers["Content-Length"] == str(len(response.content))
    page = node.call(guestbook)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Who are you?" in page.text and 'action="/fn/guestbook/web/sign"' in page.text
    signed = node.call(f"{guestbook}/sign", data={"name": "Ada L"}, allow_redirects=False)
    assert (signed.status_code, signed.headers["Location"]) == (302, "/fn/guestbook/web/")
    again = node.call(f"{guestbook}/", headers={"Cookie": signed.headers["Set-Cookie"].split(";")[0]})
    assert "Hello, Ada L" in again.text
    assert node.call(f"{guestbook}/sign", data={"name": ""}).status_code == 400
    assert node.call(f"{guestbook}/nowhere").status_code == 404
    assert node.call(f"{guestbook}/square/7", method="DELETE").status_code == 405


def test_flask_starts_from_a_zygote_and_streams(node, guestbook):
    assert node.functions("guestbook")["guestbook/web"]["zygote"] == "ready"
    streamed = node.call(f"{guestbook}/count", stream=True)
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert list(streamed.raw.stream(decode_content=False)) == [b"0\n", b"1\n", b"2\n"]
    head = node.call(f"{guestbook}/square/7", method="HEAD")
    assert head.content == b"" and int(head.headers["Content-Length"]) == len(node.call(f"{guestbook}/square/7").content)


def test_flask_handles_its_own_errors(node, guestbook):
    failed = node.call(f"{guestbook}/fails")
    assert failed.status_code == 500 and "Internal Server Error" in failed.text
    lines = [line["text"] for line in node.logs("guestbook/web", request=failed.headers["X-Ebb-Request-Id"])]
    assert any("this is what a bug looks like" in line for line in lines) and any("Traceback" in line for line in lines)
    record, = node.usage(request=failed.headers["X-Ebb-Request-Id"])
    assert (record["outcome"], record["http_status"]) == ("ok", 500)
    assert server_timing(node.call(f"{guestbook}/square/1"))["start"]["desc"] == "idle"


def test_a_direct_call_of_an_application_is_refused(node, guestbook):
    refused = node.cli("invoke", "guestbook/web", expect=2)
    assert "WSGI application" in refused.stderr and "/fn/guestbook/web/" in refused.stderr
    response = node.call("/api/v1/apps/guestbook/functions/web/invocations", data=b"{}")
    assert response.status_code == 400 and response.json()["error"]["code"] == "invalid_argument"


def test_fastapi_streams_tokens(node, chat):
    response = node.call(f"{chat}/chat", json={"prompt": "Ebb", "delay_ms": 1}, stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    chunks = list(response.raw.stream(decode_content=False))
    tokens = [json.loads(chunk[6:])["token"] for chunk in chunks[:-1]]
    assert " ".join(tokens) == "Capacity and cost ebb to zero with the traffic." and chunks[-1] == b"data: [DONE]\n\n"
    about = node.call(f"{chat}/").json()
    assert about == {"ask": f"{node.url}/fn/chat/web/chat", "served": 1}
    record, = node.usage(request=response.headers["X-Ebb-Request-Id"])
    assert record["outcome"] == "ok" and record["bytes_out"] == sum(map(len, chunks))


def test_fastapi_validates_threads_and_documents(node, chat):
    assert node.call(f"{chat}/known/ebb").json()["answer"].startswith("Capacity")
    assert node.call(f"{chat}/known/x").json() == {"detail": "nothing is known of x"}
    wrong = node.call(f"{chat}/chat", json={"prompt": ""})
    assert wrong.status_code == 422 and wrong.json()["detail"][0]["loc"] == ["body", "prompt"]
    assert "/fn/chat/web/openapi.json" in node.call(f"{chat}/docs").text
    assert set(node.call(f"{chat}/openapi.json").json()["paths"]) == {"/", "/chat", "/known/{prompt}", "/fails"}


def test_fastapi_handles_its_own_errors(node, chat):
    failed = node.call(f"{chat}/fails")
    assert (failed.status_code, failed.text) == (500, "Internal Server Error")
    lines = [line["text"] for line in node.logs("chat/web", request=failed.headers["X-Ebb-Request-Id"])]
    assert any("this is what a bug looks like" in line for line in lines)
    assert node.call(f"{chat}/known/ebb").status_code == 200


def test_starlette_with_background_work_and_several_cookies(node):
    node.deploy_function('''
import asyncio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

done = []

async def work():
    await asyncio.sleep(0.05)
    done.append(1)

async def page(request):
    answer = PlainTextResponse(str(len(done)), background=BackgroundTask(work))
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer

async def body(request):
    return JSONResponse({"size": len(await request.body()), "client": request.client.host, "url": str(request.url),
                         "cookies": request.cookies})

handler = Starlette(routes=[Route("/page", page), Mount("/sub", routes=[Route("/body", body, methods=["POST"])])])
''', app="star", name="web", requirements="starlette==1.10.0\n")
    first = node.call("star/web/page")
    assert first.text == "0" and first.raw.headers.getlist("Set-Cookie") == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]
    assert node.call("star/web/page").text == "1"  # what ran in the background was over when the answer ended
    seen = node.call("star/web/sub/body?x=%20y", data=b"z" * 70_000, headers={"Cookie": "k=v; l=w"}).json()
    assert seen == {"size": 70_000, "client": "127.0.0.1", "url": f"{node.url}/fn/star/web/sub/body?x=%20y", "cookies": {"k": "v", "l": "w"}}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_django(node, django, interface):
    response = node.call(f"dj/{interface}/about/7?q=a%20b", data=b"hello")
    prefix = f"/fn/dj/{interface}"
    assert response.json() == {"number": 7, "method": "POST", "q": "a b", "link": f"{prefix}/about/8", "body": "hello",
                               "absolute": f"{node.url}{prefix}/about/7?q=a%20b", "address": "127.0.0.1"}
    assert len(response.raw.headers.getlist("Set-Cookie")) == 2
    assert response.headers["Content-Length"] == str(len(response.content))
    streamed = node.call(f"dj/{interface}/{'streamed' if interface == 'wsgi' else 'async'}", stream=True)
    assert b"".join(streamed.raw.stream(decode_content=False)) == b"0;1;2;" and "Content-Length" not in streamed.headers
    failed = node.call(f"dj/{interface}/fails")
    assert failed.status_code == 500
    lines = [line["text"] for line in node.logs(f"dj/{interface}", request=failed.headers["X-Ebb-Request-Id"])]
    assert any("a bug in a view" in line for line in lines)


def test_the_prefix_of_a_version_by_its_number(node, guestbook):
    assert node.call(f"{guestbook}:1/square/1").json()["link"] == f"{node.url}/fn/guestbook/web:1/square/2"


def test_interface_in_the_manifest(node):
    source = "def handler(one, two):\n    two('200 OK', [('Content-Type', 'text/plain')])\n    return [b'wsgi']\n"
    node.deploy_function(source, app="said", interface="wsgi")
    assert node.call("said/f").text == "wsgi"
    unknown = node.deploy_function(source, app="said", interface="wsgl", expect=2)
    assert re.search(r"functions\.f\.interface.*did you mean wsgi\?", unknown.stdout + unknown.stderr)
    misfit = node.deploy_function(source, app="said", interface="asgi", expect=None)
    assert misfit.returncode != 0 and "(scope, receive, send)" in misfit.stdout + misfit.stderr
    assert node.call("said/f").text == "wsgi"


def test_a_lifespan_that_fails_says_so(node):
    node.deploy_function('''
import contextlib
from starlette.applications import Starlette

@contextlib.asynccontextmanager
async def lifespan(app):
    raise RuntimeError("no database today")
    yield

handler = Starlette(lifespan=lifespan)
''', app="star", name="broken", requirements="starlette==1.10.0\n")
    response = node.call("star/broken")
    assert response.status_code == 502 and "no database today" in response.json()["error"]["message"]
