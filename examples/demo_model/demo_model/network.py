"""The classifier: one hidden layer, trained by scikit-learn, kept and run as plain arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo_model import images

FILE_NAME = "weights.npz"
SHIPPED = Path(__file__).parent / FILE_NAME
HIDDEN_UNITS = 64
DISTORTED_COPIES = 3
#: A seven that the training does not see.
EXAMPLE = [
    [0, 0, 2, 13, 16, 9, 0, 0],
    [0, 0, 12, 12, 7, 16, 3, 0],
    [0, 1, 14, 3, 0, 16, 4, 0],
    [0, 0, 0, 4, 10, 16, 6, 0],
    [0, 0, 0, 13, 16, 16, 9, 0],
    [0, 0, 0, 5, 13, 1, 0, 0],
    [0, 0, 0, 11, 9, 0, 0, 0],
    [0, 0, 1, 16, 4, 0, 0, 0],
]

_current = None


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        first, second: Weights, (64, hidden) and (hidden, 10).
        first_bias, second_bias: Biases, (hidden,) and (10,).
        activation: ``relu`` or ``tanh``.
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    activation: str

    def predict(self, batch):
        """Class probabilities, (count, 10), of images, (count, 8, 8), 0–16."""
        hidden = batch.reshape(len(batch), -1) / 16.0 @ self.first + self.first_bias
        hidden = np.maximum(hidden, 0) if self.activation == "relu" else np.tanh(hidden)
        scores = hidden @ self.second + self.second_bias
        likelihoods = np.exp(scores - scores.max(axis=1, keepdims=True))
        return likelihoods / likelihoods.sum(axis=1, keepdims=True)

    def save(self, path):
        """Keep the network as plain arrays: whoever reads them runs no code of ours or of anybody else's."""
        np.savez(path, **vars(self))


def load(folder=None):
    """Make the network of a training run the current one, or the shipped one where there is none."""
    global _current
    path = folder / FILE_NAME if folder is not None else SHIPPED
    with np.load(path if path.exists() else SHIPPED, allow_pickle=False) as arrays:
        _current = Network(
            **{name: arrays[name] for name in arrays if name != "activation"}, activation=str(arrays["activation"])
        )


def current():
    """The network that predicts."""
    if _current is None:
        load()
    return _current


def fit(epochs, learning_rate, activation, shuffle, stop_at, report):
    """Train on four fifths of the data, as they are and in copies that differ as handwriting does.

    Args:
        epochs: Passes over the images.
        learning_rate: Size of a step.
        activation: ``relu`` or ``tanh``.
        shuffle: Whether each pass sees the images in a new order.
        stop_at: Accuracy at which to stop early; None never does.
        report: Called after every epoch with its number, the loss, and the accuracy on the last fifth.

    Returns:
        The network and its final accuracy.
    """
    from sklearn.datasets import load_digits  # takes a second, which only training has to wait for
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    pixels, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(
        pixels, digits, test_size=0.2, random_state=0, stratify=digits
    )
    generator = np.random.default_rng(0)
    copies = [
        images.distorted(image.reshape(8, 8), generator).ravel() for image in np.repeat(seen, DISTORTED_COPIES, 0)
    ]
    seen = np.concatenate([seen, copies]) / 16.0
    seen_digits = np.concatenate([seen_digits, np.repeat(seen_digits, DISTORTED_COPIES)])
    classifier = MLPClassifier(
        (HIDDEN_UNITS,), activation=activation, learning_rate_init=learning_rate, shuffle=shuffle, random_state=0
    )
    for epoch in range(1, epochs + 1):
        classifier.partial_fit(seen, seen_digits, classes=range(10))
        accuracy = float(classifier.score(unseen / 16.0, unseen_digits))
        report(epoch, float(classifier.loss_), accuracy)
        if stop_at is not None and accuracy >= stop_at:
            break
    (first, second), (first_bias, second_bias) = classifier.coefs_, classifier.intercepts_
    return Network(first, first_bias, second, second_bias, activation), accuracy
