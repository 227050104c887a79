"""Trains the classifier on scikit-learn's bundled handwritten digits (1,797 scans of 8 x 8 pixels) and writes model.joblib.

Runs once, when the function is deployed. A third of the data is kept out as the test split: samples/ is taken from it.
"""

import sys

import joblib
from sklearn import datasets, model_selection, svm

ACCURACY_MIN = 0.97


def split():
    """(training pixels, test pixels, training labels, test labels); the same on every machine."""
    pixels, labels = datasets.load_digits(return_X_y=True)
    return model_selection.train_test_split(pixels, labels, test_size=1 / 3, random_state=2024, stratify=labels)


def main():
    train_pixels, test_pixels, train_labels, test_labels = split()
    model = svm.SVC(gamma=0.001, C=10).fit(train_pixels, train_labels)
    accuracy = model.score(test_pixels, test_labels)
    print(f"trained on {len(train_labels)} digits, {accuracy:.1%} of {len(test_labels)} unseen ones are right")
    if accuracy < ACCURACY_MIN:
        sys.exit(f"the model is right on {accuracy:.1%} of the test split, {ACCURACY_MIN:.0%} is the least we deploy")
    joblib.dump(model, "model.joblib")


if __name__ == "__main__":
    main()
