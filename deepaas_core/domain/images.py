"""Pictures in requests: from base64, a data URL or a file's bytes to the array that a model expects."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from typing import Any

from deepaas_core.errors import UnsupportedMedia

#: A picture may unpack to so many times its size; more than this is nothing that a model could want.
MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
_DATA_URL = re.compile(r"\s*data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EXPECTED = "Must be a picture, as base64 or a data URL"
_TOO_LARGE = f"{_EXPECTED}, of at most {MAX_PIXELS} pixels."


def decoded(value: Any, shape: Sequence[int | None]) -> Any:
    """A picture as an array ``(height, width, channels)``, uint8, 0–255, of the shape that is asked for.

    It is turned as its camera says and resized; what is transparent is not any more where there is no channel for that.

    Args:
        value: Base64, a data URL whatever media type that claims, or a file's bytes.
        shape: Height, width and channels; None is as it comes.

    Raises:
        ValueError: It is no picture; the text says what is expected.
        UnsupportedMedia: This server cannot read pictures.
    """
    import numpy  # 100 ms that no start should wait for

    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise UnsupportedMedia("This server cannot read pictures: Pillow is missing (deepaas-core[images]).") from None
    file = io.BytesIO(value if isinstance(value, bytes | bytearray) else _bytes(value))
    height, width, channels = shape
    mode = _MODES[channels or 3]
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(_TOO_LARGE)
            if width and height:
                image.draft("RGB", (width, height))
            upright = ImageOps.exif_transpose(image)
            picture = (_of_16_bits(upright) if upright.mode.startswith("I") else upright).convert(mode)
            wanted = width or picture.width, height or picture.height
            if picture.size != wanted:
                picture = picture.resize(wanted, Image.Resampling.BILINEAR)
            return numpy.asarray(picture, numpy.uint8).reshape(wanted[1], wanted[0], len(mode))
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except UnidentifiedImageError:
        raise ValueError(f"{_EXPECTED}, in one of the formats {', '.join(FORMATS)}.") from None
    except (OSError, SyntaxError, EOFError, OverflowError):
        raise ValueError(f"{_EXPECTED}, and it is cut off or broken.") from None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{_EXPECTED}.")
    start = _DATA_URL.match(value)
    text = "".join((value[start.end() :] if start else value).split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # some leave the padding out
    except (binascii.Error, ValueError):
        raise ValueError(f"{_EXPECTED}.") from None


def _of_16_bits(image: Any) -> Any:
    import numpy
    from PIL import Image

    return Image.fromarray((numpy.asarray(image).clip(0, 65535) // 256).astype(numpy.uint8))
