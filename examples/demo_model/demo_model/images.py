"""From whatever was sent to what the network was trained on: 8×8 pixels, 0 (paper) to 16 (ink)."""

import io

import numpy as np
from PIL import Image, ImageOps

SIZE = 8
INK = 16.0
MAX_PIXELS = 40_000_000


def from_numbers(data, error):
    """Read one array of shape (8, 8) or (64,), or several of them.

    Args:
        data: Nested lists or an array of numbers from 0 to 16.
        error: The exception to raise when that is not what they are.

    Returns:
        The images, (count, 8, 8) float32, and whether it was a single one.
    """
    try:
        array = np.asarray(data, dtype=np.float32)
    except (ValueError, TypeError):
        raise error("Must be an 8×8 array of numbers.", "data") from None
    single = array.shape in ((SIZE, SIZE), (SIZE * SIZE,))
    if single:
        array = array[None]
    if array.shape[1:] not in ((SIZE, SIZE), (SIZE * SIZE,)) or not len(array):
        raise error(f"Must have the shape 8×8 (or 64), or a list of those, not {np.shape(data)}.", "data")
    if not ((array >= 0) & (array <= INK)).all():
        raise error("Must be numbers from 0 (paper) to 16 (ink).", "data")
    return array.reshape(-1, SIZE, SIZE), single


def from_file(path, error):
    """Read an image file; see ``from_bytes``."""
    with open(path, "rb") as file:
        return from_bytes(file.read(), error)


def from_bytes(content, error):
    """Find the digit in an image of any size and colour mode, dark on light or light on dark.

    Returns:
        The digit as it stands in the training data, (8, 8) float32.
    """
    try:
        image = Image.open(io.BytesIO(content))
        if image.width * image.height > MAX_PIXELS:
            raise error(f"The image must not have more than {MAX_PIXELS} pixels.", "data")
        grey = _on_white(image)
    except (OSError, SyntaxError, Image.DecompressionBombError):
        raise error("Must be an image (PNG, JPEG, …).", "data") from None
    return framed(_ink_is_light(grey))


def _on_white(image):
    """The image in shades of grey, what is transparent being paper."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "I;16", "F"):
        pixels = np.asarray(image, dtype=np.float32)
        span = float(np.ptp(pixels)) or 1.0
        return Image.fromarray(((pixels - pixels.min()) / span * 255).astype(np.uint8))
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("L")


def _ink_is_light(grey):
    """The pixels with ink bright, whichever way it was drawn: most of an image's edge is paper."""
    pixels = np.asarray(grey, dtype=np.float32)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return 255 - pixels if np.median(edge) > 127 else pixels


def framed(pixels):
    """Cut out the digit and scale it to the full height, in the middle of the width."""
    pixels = pixels - pixels.min()
    inked = pixels > pixels.max() * 0.25
    if not inked.any():
        return np.zeros((SIZE, SIZE), np.float32)
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    digit = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = digit.shape
    side = max(height, width)
    frame = np.zeros((side, side), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    frame[top : top + height, left : left + width] = digit
    small = np.asarray(Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BOX))
    return small / max(float(small.max()), 1.0) * INK
