"""Makes the sample images and the shipped weights: ``python make_samples.py``.

The samples are digits of the data set that the training leaves out, drawn larger: black on white in shades of grey,
one white on black, one in colour.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from demo_model import network

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
FOLDER = Path(__file__).parent / "samples"


def main():
    trained, _ = network.fit(60, 0.005, "relu", True, None, lambda *_: None)
    trained.save(network.SHIPPED)
    images, digits = load_digits(return_X_y=True)
    _, unseen, _, unseen_digits = train_test_split(images, digits, test_size=0.2, random_state=0, stratify=digits)
    for digit, name in enumerate(NAMES):
        ink = unseen[unseen_digits == digit][0].reshape(8, 8)
        framed = np.pad(ink, 1) / 16 * 255
        large = Image.fromarray((255 - framed).astype(np.uint8)).resize((200, 200), Image.Resampling.BICUBIC)
        if name == "three":
            large = Image.eval(large, lambda value: 255 - value)
        if name == "five":
            coloured = Image.merge("RGB", [large, large, Image.new("L", large.size, 255)])
            coloured.save(FOLDER / f"{name}.jpg", quality=90)
        else:
            large.save(FOLDER / f"{name}.png", optimize=True)
        if name == "seven":
            print([[int(value) for value in row] for row in ink])


if __name__ == "__main__":
    main()
