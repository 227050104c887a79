"""A FastAPI server around an ONNX Runtime session: a row of numbers comes and goes as bytes, which costs the least.

With $BATCH_SIZE above 1, rows of calls that are there at one time run together: when there are so many, or when the first has
waited for $BATCH_WINDOW seconds. The session runs on the event loop's thread, as an instance of Ebb runs it on its only one.
"""

import asyncio
import os

import fastapi
import numpy
import onnxruntime

SIZE, WINDOW = int(os.environ["BATCH_SIZE"]), float(os.environ["BATCH_WINDOW"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = fastapi.FastAPI()


def run(rows):
    return session.run(None, {"x": rows})[0]


class Batch:
    """The calls that wait to run together."""

    def __init__(self):
        self._rows, self._answers, self._timer = [], [], None

    async def answer(self, row):
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._rows.append(row)
        self._answers.append(answer)
        if len(self._rows) == SIZE:
            self._run()
        elif len(self._rows) == 1:
            self._timer = loop.call_later(WINDOW, self._run)
        return await answer

    def _run(self):
        self._timer.cancel()
        rows, answers = self._rows, self._answers
        self._rows, self._answers = [], []
        for answer, result in zip(answers, run(numpy.stack(rows))):
            answer.set_result(result)


batch = Batch()


@app.post("/infer")
async def infer(request: fastapi.Request):
    row = numpy.frombuffer(await request.body(), numpy.float32)
    result = run(row[numpy.newaxis])[0] if SIZE == 1 else await batch.answer(row)
    return fastapi.Response(result.tobytes(), media_type="application/octet-stream")
