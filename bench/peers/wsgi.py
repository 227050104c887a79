"""The WSGI face that gunicorn serves the same handlers with, alone and behind of-watchdog and queue-proxy.

It makes a smaller event than Ebb does and no context: in doubt, for the peer.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "functions"))

import burn  # noqa: E402
import hello  # noqa: E402

HANDLERS = {"/hello": hello.handler, "/burn": burn.handler}


def app(environ, start_response):
    event = {"rawPath": environ["PATH_INFO"], "rawQueryString": environ["QUERY_STRING"]}
    body = json.dumps(HANDLERS[environ["PATH_INFO"]](event, None)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
