"""A plain process with the model: reads a question of the Open Inference Protocol, runs it, prints the first output, ends."""

import json
import sys

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
asked = json.load(sys.stdin)["inputs"][0]
given = numpy.array(asked["data"], numpy.float32).reshape(asked["shape"])
print(json.dumps({"outputs": [{"data": session.run(None, {asked["name"]: given})[0].tolist()}]}), flush=True)
