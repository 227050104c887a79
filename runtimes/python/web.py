"""An HTTP request as web applications want it, and what both kinds of them (wsgi.py, asgi.py) need of it.

The prefix is the part of the path that leads to the function, /fn/APP/FUNCTION: an application that builds URLs puts it
in front (SCRIPT_NAME, root_path), so its links work.
"""

from urllib.parse import unquote_to_bytes


class WrongCall(Exception):
    """A direct call of a function that takes HTTP requests only."""

    def __init__(self, function):
        kinds = {"wsgi": "a WSGI application", "asgi": "an ASGI application", "server": "a web server", "model": "a model"}
        other = "" if function.kind != "python3" else ", or set interface: event in ebb.yaml"
        super().__init__(
            f"{function.name} is {kinds[function.interface]}, it takes HTTP requests at /fn/{function.app}/{function.name}/{'v2 ' if function.kind == 'model' else ' '}"
            f"and no direct calls: use curl{other}"
        )


class Request:
    __slots__ = ("method", "scheme", "prefix", "raw_path", "query", "http_version", "headers", "client", "host", "body")

    def __init__(self, meta, body):
        event = meta["event"]
        http = event["requestContext"]["http"]
        self.method = http["method"]
        self.scheme = meta["scheme"]
        self.prefix = meta["prefix"]
        self.raw_path = event["rawPath"]  # behind the prefix, percent-encoded
        self.query = event["rawQueryString"]
        self.http_version = http["protocol"].rpartition("/")[2]
        self.client = http["sourceIp"]
        self.headers = self._headers(event, body)
        self.host = event["requestContext"].get("domainName") or self.headers.get("host", "")
        self.body = body

    @staticmethod
    def _headers(event, body):
        """{lower-case name: value}. The body is here whole, however it came."""
        headers = event["headers"]
        headers.pop("transfer-encoding", None)
        if body:
            headers["content-length"] = str(len(body))
        cookies = event.get("cookies")
        if cookies:
            headers["cookie"] = "; ".join(cookies)
        return headers

    @property
    def target(self):
        """Behind the prefix: path and query as they stood."""
        return self.raw_path + ("?" + self.query if self.query else "")

    @property
    def path(self):
        """Behind the prefix, decoded, as bytes."""
        return unquote_to_bytes(self.raw_path)

    def server(self):
        """(name, port) as the client addressed it."""
        host = self.headers.get("host", "")
        name, colon, port = host.rpartition(":")
        if not colon or "]" in port:
            name, port = host, ""
        default = 443 if self.scheme == "https" else 80
        return name or "localhost", int(port) if port.isascii() and port.isdigit() else default


def header_text(value):
    """Bytes of a header's value as the text that becomes those bytes again, where it is UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
