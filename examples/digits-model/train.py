"""Trains a small neural network on scikit-learn's handwritten digits (1,797 scans of 8 x 8 pixels) and writes digits.onnx, with
sample.json: a request with the first two digits of the test split, never seen in training.

Run by hand; the result is committed, so that nobody else needs scikit-learn:

    pip install scikit-learn==1.6.1 skl2onnx==1.19.1 onnx==1.17.0 packaging==25.0 && python3 train.py
"""

import json
import sys

import numpy as np
from skl2onnx import to_onnx
from sklearn import datasets, model_selection, neural_network, pipeline, preprocessing

ACCURACY_MIN = 0.96


def main():
    pixels, labels = datasets.load_digits(return_X_y=True)
    pixels = pixels.astype(np.float32)
    train_pixels, test_pixels, train_labels, test_labels = model_selection.train_test_split(
        pixels, labels, test_size=1 / 3, random_state=2024, stratify=labels
    )
    model = pipeline.make_pipeline(
        preprocessing.MinMaxScaler(), neural_network.MLPClassifier((32,), max_iter=600, random_state=2024)
    ).fit(train_pixels, train_labels)
    accuracy = model.score(test_pixels, test_labels)
    print(f"trained on {len(train_labels)} digits, {accuracy:.1%} of {len(test_labels)} unseen ones are right")
    if accuracy < ACCURACY_MIN:
        sys.exit(f"the model is right on {accuracy:.1%} of the test split, {ACCURACY_MIN:.0%} is the least we keep")
    onnx = to_onnx(model, train_pixels[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    with open("digits.onnx", "wb") as file:
        file.write(onnx.SerializeToString())
    request = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 64], "data": test_pixels[:2].astype(int).ravel().tolist()}]}
    with open("sample.json", "w") as file:
        file.write(json.dumps(request) + "\n")
    print("sample.json holds", test_labels[:2].tolist())


if __name__ == "__main__":
    main()
