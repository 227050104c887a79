"""Writes samples/: the first two of each digit in the test split (never seen in training), as PNG, and labels.json with the truth.

Run by hand, with the requirements installed; the result is committed, so that a caller needs no scikit-learn.
"""

import json
import pathlib

import numpy as np
from PIL import Image

from train import split


def main():
    folder = pathlib.Path(__file__).parent / "samples"
    folder.mkdir(exist_ok=True)
    _, pixels, _, labels = split()
    truth = {}
    for digit in range(10):
        for row in np.flatnonzero(labels == digit)[:2]:
            image = np.rint(pixels[row].reshape(8, 8) * 255 / 16).astype(np.uint8)
            # Eight times larger, so that a person sees something; the handler averages it back exactly.
            Image.fromarray(image.repeat(8, axis=0).repeat(8, axis=1)).save(folder / f"test-{row:03d}.png", optimize=True)
            truth[f"test-{row:03d}.png"] = digit
    (folder / "labels.json").write_text(json.dumps(truth, indent=2) + "\n")


if __name__ == "__main__":
    main()
