"""From whatever was sent to what the network was trained on: 8×8 pixels, 0 (paper) to 16 (ink)."""

import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps

SIZE = 8
INK = 16.0
BLOCK = 4
THINNEST_STROKE = 5.0  # pixels of 32; those of the training data are 5 to 8 wide
MAX_PIXELS = 40_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # what strangers send should reach no other decoder


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
    except (ValueError, TypeError, OverflowError):
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
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise error(f"The image must not have more than {MAX_PIXELS} pixels.", "data")
        ink = _ink(_grey(image))
    except (OSError, SyntaxError, Image.DecompressionBombError):
        raise error("Must be an image (PNG, JPEG, …).", "data") from None
    if not ink.any():
        raise error("The image must show a digit; all its pixels are alike.", "data")
    return framed(ink)


def _grey(image):
    """The image in shades of grey. What is transparent becomes medium grey, on which black and white ink both show."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "I;16", "F"):
        return np.asarray(image, dtype=np.float32)
    paper = Image.new("RGBA", image.size, "grey")
    return np.asarray(Image.alpha_composite(paper, image.convert("RGBA")).convert("L"), dtype=np.float32)


def _ink(grey):
    """How far each pixel is from the paper, darker or lighter: most of an image's edge is paper."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return np.abs(grey - np.median(edge))


def framed(ink):
    """Cut out the digit and scale it to the full height, in the middle of the width; thicken thin strokes.

    In the training data each pixel counts the ink in 4×4 pixels of a bitmap that the digit fills; so it is done here.
    """
    bitmap = _filled(ink)
    while 0 < _stroke_width(bitmap) < THINNEST_STROKE:
        bitmap = _filled(np.asarray(bitmap.filter(ImageFilter.MaxFilter(3))))
    small = np.asarray(bitmap.reduce(BLOCK), dtype=np.float32)
    return small / max(float(small.max()), 1.0) * INK


def distorted(pixels, generator):
    """A copy of an image, (8, 8), that is a little slanted, stretched and shifted."""
    slant, stretch, right, down = generator.uniform([-0.3, 0.85, -3, -1.5], [0.3, 1.3, 3, 1.5])
    side = SIZE * BLOCK
    matrix = (stretch, slant, side / 2 * (1 - stretch - slant) + right, 0, 1, down)
    bitmap = Image.fromarray((pixels / INK * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    bitmap = bitmap.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(bitmap.reduce(BLOCK), dtype=np.float32) / 255 * INK


def _filled(ink):
    """A bitmap of 32×32 pixels that the digit fills, its proportions kept; empty where there is no ink."""
    side = SIZE * BLOCK
    bitmap = Image.new("L", (side, side))
    inked = ink > ink.max() * 0.25
    if inked.any():
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / ink.max() * 255
        height, width = (max(1, round(length * side / max(digit.shape))) for length in digit.shape)
        shrinks = max(digit.shape) > side
        resampling = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        digit = Image.fromarray(digit.astype(np.uint8)).resize((width, height), resampling)
        bitmap.paste(digit, ((side - width) // 2, (side - height) // 2))
    return bitmap


def _stroke_width(bitmap):
    """The mean width of the strokes in pixels: their area by half their outline."""
    ink = np.asarray(bitmap, dtype=np.float32)
    steps = np.abs(np.diff(ink, axis=0)).sum() + np.abs(np.diff(ink, axis=1)).sum()
    outline = steps * np.pi / 4  # over all directions, steps along the axes are 4/π times as long as the line
    return 2 * ink.sum() / max(outline, 1.0)
