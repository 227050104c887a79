"""ONNX Runtime called in a loop: direct.py MODEL ROWS SECONDS prints how many rows a second, ROWS of them a run, on one thread."""

import sys
import time

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
rows, seconds = int(sys.argv[2]), float(sys.argv[3])
given = numpy.ones((rows, session.get_inputs()[0].shape[1]), numpy.float32)
session.run(None, {"x": given})
began, count = time.monotonic(), 0
while time.monotonic() - began < seconds:
    session.run(None, {"x": given})
    count += rows
print(count / (time.monotonic() - began))
