"""The handler that awslambdaric runs: which function is meant stands in the event."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "functions"))

import burn  # noqa: E402
import hello  # noqa: E402

HANDLERS = {"/hello": hello.handler, "/burn": burn.handler}


def handler(event, context):
    return HANDLERS[event["rawPath"]](event, context)
