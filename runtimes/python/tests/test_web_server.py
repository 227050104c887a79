"""What a web server is told of a request that comes as a frame (a user-space kernel, where the daemon cannot connect to it)."""

import importlib
import os
import sys
import types

import pytest
from sandbox import RUNTIME


@pytest.fixture(scope="module")
def parts():
    """The modules web and web_server of the built runtime."""
    package = types.ModuleType("ebb_runtime_under_test")
    package.__path__ = [os.path.join(RUNTIME, "python")]
    sys.modules[package.__name__] = package
    return [importlib.import_module(f"{package.__name__}.{name}") for name in ("web", "web_server")]


class Connection:
    """Takes down a request in place of sending it."""

    def putrequest(self, method, target, **_):
        self.line = (method, target)
        self.headers = []

    def putheader(self, name, value):
        self.headers.append((name, value if isinstance(value, str) else value.decode()))

    def endheaders(self, body):
        self.body = body


def sent(parts, prefix="/fn/shop/f", path="/a", headers=None, **context):
    http = {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7"}
    event = {"rawPath": path, "rawQueryString": "q=1", "headers": headers or {}, "requestContext": {"http": http, **context}}
    web, web_server = parts
    connection = Connection()
    server = web_server.Server.__new__(web_server.Server)
    server._port = 8000
    server._send(connection, web.Request({"scheme": "https", "prefix": prefix, "event": event}, b""))
    return connection


def test_what_the_client_says_of_its_proxies_does_not_stand_beside_what_ebb_says(parts):
    lies = {f"x-forwarded-{name}": "lie" for name in ("host", "proto", "prefix", "for")}
    told = sent(parts, headers={"host": "inner", **lies}, domainName="shop.example").headers
    assert told == [("host", "inner"), ("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https"), ("x-forwarded-prefix", "/fn/shop/f"),
                    ("x-forwarded-for", "lie, 192.0.2.7")]  # fmt: skip


def test_a_prefix_that_was_not_taken_away_is_not_told(parts):
    connection = sent(parts, prefix="", path="/fn/shop/f/a", headers={"host": "inner"})
    assert connection.line == ("GET", "/fn/shop/f/a?q=1")
    assert ("x-forwarded-host", "inner") in connection.headers and not [name for name, _ in connection.headers if name == "x-forwarded-prefix"]
