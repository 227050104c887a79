"""A server written for the custom runtime of Alibaba Function Compute: port 9000, /initialize, /invoke, /pre-stop."""

import http.server
import json
import logging

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
sizes = {}


def initialize():
    sizes.update(small=120, medium=480, large=1600)
    logging.info("initialized with %d sizes", len(sizes))


def size_of(event):
    """Width and height of a picture made as small as is asked."""
    longest = max(event["width"], event["height"])
    scale = min(1, sizes[event["size"]] / longest)
    return {"width": round(event["width"] * scale), "height": round(event["height"] * scale)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        way = self.headers.get("x-fc-control-path")
        if way == "/initialize":
            initialize()
            return self.answer(200, {})
        logging.info("%s asks %s", self.headers["x-fc-request-id"], self.path)
        try:
            return self.answer(200, size_of(json.loads(body)))
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(404 if way == "/invoke" else 400, {"error": f"{type(error).__name__}: {error}"})

    def do_GET(self):
        if self.headers.get("x-fc-control-path") == "/pre-stop":
            logging.info("about to stop")
            return self.answer(200, {})
        return self.answer(200, sizes)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
