"""The 200 MB array again, with a handler that keeps its instance busy for a while, so that each call needs an instance of
its own."""

import time

import numpy

weights = numpy.random.default_rng(1).random(26_214_400)


def handler(event, context):
    time.sleep(float((event.get("queryStringParameters") or {}).get("hold", 0)))
    return {"answer": float(weights[len(weights) // 3])}
