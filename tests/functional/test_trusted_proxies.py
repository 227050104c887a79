"""A proxy in front of a node, which this test plays: what it says of its client is believed where `trusted_proxies` names it, and not of
anybody else, who is another address of the loopback."""

import http.client
import json

import pytest

from ebb_node import Node, running

HANDLERS = '''
def handler(event, context):
    return [event["requestContext"]["http"]["sourceIp"], event["requestContext"]["domainName"], event["headers"].get("x-forwarded-proto")]

def app(environ, start_response):
    start_response("200 OK", [])
    return [f'{environ["wsgi.url_scheme"]} {environ["REMOTE_ADDR"]}'.encode()]
'''
SERVER = '''
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "\\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''
FUNCTIONS = {"event": {"handler": "app.handler"}, "wsgi": {"handler": "app.app"},
             "web": {"runtime": "http", "command": "exec python3 server.py", "memory": "128Mi"}}
SAID = {"Host": "inner:8080", "X-Forwarded-For": "198.51.100.9, 192.0.2.7, 10.1.2.3", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}


@pytest.fixture(scope="module")
def node():
    with running(Node({"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]})) as made:
        made.deploy({"ebb.yaml": json.dumps({"app": "shop", "functions": FUNCTIONS}), "app.py": HANDLERS, "server.py": SERVER})
        yield made


def asked(node, function, by, headers):
    host, port = node.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60, source_address=(by, 0))
    connection.request("GET", f"/fn/shop/{function}", headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200, body
    return body


def seen_by_server(node, by, headers):
    return dict(line.split(": ", 1) for line in asked(node, "web", by, headers).splitlines())


def test_what_a_trusted_proxy_says_is_believed(node):
    seen = seen_by_server(node, "127.0.0.1", SAID)
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["host"]) == ("https", "shop.example", "inner:8080")
    assert seen["x-forwarded-for"] == SAID["X-Forwarded-For"] + ", 127.0.0.1", "who speaks to Ebb stands behind all others"
    assert json.loads(asked(node, "event", "127.0.0.1", SAID)) == ["192.0.2.7", "shop.example", "https"]
    assert asked(node, "wsgi", "127.0.0.1", SAID) == "https 192.0.2.7"


def test_what_anybody_else_says_is_not(node):
    seen = seen_by_server(node, "127.0.0.2", SAID)
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("http", "inner:8080")
    assert seen["x-forwarded-for"] == SAID["X-Forwarded-For"] + ", 127.0.0.2"
    assert json.loads(asked(node, "event", "127.0.0.2", SAID)) == ["127.0.0.2", "inner:8080", "https"], "headers of an event are as they came"
    assert asked(node, "wsgi", "127.0.0.2", SAID) == "http 127.0.0.2"


@pytest.mark.parametrize("said", [{"X-Forwarded-Proto": "https, http"}, {"X-Forwarded-Proto": "ftp"}, {"X-Forwarded-Host": "a, b"},
                                  {"X-Forwarded-Host": 'a"b'}, {"X-Forwarded-For": "unknown"}, {}])
def test_what_is_malformed_is_left_out(node, said):
    said = {"Host": "inner:8080", **said}
    seen = seen_by_server(node, "127.0.0.1", said)
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("http", "inner:8080")
    assert asked(node, "wsgi", "127.0.0.1", said) == "http 127.0.0.1"
