"""POST an image (PNG, JPEG, ...), get the lines of text in it."""

import base64
import io
import json

import numpy as np
from PIL import Image

from pipeline import Reader

PIXELS_MAX = 20_000_000

reader = Reader()
# ONNX Runtime plans its memory at the first run: done here, in the zygote, it is done for every instance.
reader.lines(np.full((96, 320, 3), 255, np.uint8))


def handler(event, context):
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8")
    try:
        picture = Image.open(io.BytesIO(data))
        if picture.width * picture.height > PIXELS_MAX:
            return answer(413, {"error": f"the image is {picture.width} x {picture.height}, {PIXELS_MAX} pixels are the limit"})
        pixels = np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return answer(400, {"error": "the body is no image that can be decoded, send a PNG or JPEG file"})
    return {"lines": reader.lines(np.ascontiguousarray(pixels[:, :, ::-1]))}


def answer(status, value):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(value)}
