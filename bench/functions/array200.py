"""A model of 200 MB in one array, every page of it written."""

import numpy

weights = numpy.random.default_rng(1).random(26_214_400)


def handler(event, context):
    return {"answer": float(weights[len(weights) // 3])}
