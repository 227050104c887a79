"""POST a PNG of one handwritten digit, get the digit."""

import base64
import io
import json
import os

import joblib
import numpy as np
from PIL import Image

# Module level runs once, in the zygote: every instance shares the loaded model's pages.
model = joblib.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.joblib"))


def handler(event, context):
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8")
    try:
        picture = Image.open(io.BytesIO(data)).convert("L").resize((8, 8), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        error = {"error": "the body is no image that can be decoded, send a PNG file"}
        return {"statusCode": 400, "headers": {"content-type": "application/json"}, "body": json.dumps(error)}
    pixels = np.asarray(picture, dtype=float).reshape(1, -1) * 16 / 255  # the scale of the training data
    scores = model.decision_function(pixels)[0]
    return {
        "digit": int(model.classes_[scores.argmax()]),
        "scores": {str(digit): round(float(score), 3) for digit, score in zip(model.classes_, scores)},
    }


# One call at the end of init: what the libraries set up at their first use (the PNG decoder, the SVM's tables) is in the zygote then.
_blank = io.BytesIO()
Image.new("L", (8, 8)).save(_blank, "PNG")
handler({"body": base64.b64encode(_blank.getvalue()).decode(), "isBase64Encoded": True}, None)
