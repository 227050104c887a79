"""A process a request, as of-watchdog's fork mode starts it: headers in the environment, the answer on standard output."""

import importlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "functions"))

sys.stdin.buffer.read()
event = {"rawPath": os.environ["Http_Path"], "rawQueryString": os.environ.get("Http_Query", "")}
handler = importlib.import_module(event["rawPath"].strip("/")).handler
print(json.dumps(handler(event, None)), end="")
