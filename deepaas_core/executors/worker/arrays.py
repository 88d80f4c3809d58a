"""Arrays on the worker line: ``{"$array": {"dtype": "uint8", "shape": [2, 3], "data": "<base64>"}}`` in a record.

They are numpy arrays where the model has numpy, else nested lists.
"""

import array
import base64
import math
from collections.abc import Sequence
from typing import Any

MARK = "$array"
_FORMATS = {"uint8": "B", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "float32": "f", "float64": "d"}


def restored(value: Any) -> Any:
    """A value of a record, an array if that is what it stands for.

    Raises:
        ValueError: It looks like an array, and is none.
    """
    if not isinstance(value, dict) or value.keys() != {MARK}:
        return value
    told = value[MARK]
    try:
        name, shape, data = told["dtype"], [int(length) for length in told["shape"]], base64.b64decode(told["data"])
        items = array.array(_FORMATS[name])
        items.frombytes(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"This is no array: {error}.") from None
    if math.prod(shape) != len(items):
        raise ValueError("This array has another size than its shape says.")
    try:
        import numpy
    except ImportError:
        return _nested(items.tolist(), shape)
    return numpy.frombuffer(data, name).reshape(shape).copy()


def _nested(values: list[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return values[0]
    if len(shape) == 1:
        return values
    step = math.prod(shape[1:])
    return [_nested(values[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0])]
