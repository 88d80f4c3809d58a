"""Results of a model as strict JSON, made where the value is, so that the server can pass the bytes on unread.

There are two ways to the same answer. The fast one is a single ``orjson.dumps`` in which everything that orjson does
not know is turned, step by step, into something it does. The careful one walks the value in Python: it knows keys that
are not text, integers of any size and iterators, works without orjson, and can say where in the result the trouble is.
Whatever the fast way cannot do is done again by the careful one. Both lean on the same ``_simpler`` and
``_array_json``, which is why they agree.

numpy, pandas and torch are never imported here: who returns their objects has imported them.

Choices worth knowing:

* float16 and float32 are written with as many digits as float32 needs (``0.1``, not ``0.10000000149011612``).
* ``datetime64`` of days or coarser is a date, finer a date and time to the microsecond, as ``datetime`` writes them.
* A Decimal is a number: exact if it is whole, else the nearest double.
* Structured arrays are lists of lists, as their ``tolist()`` gives them.
"""

import binascii
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import io
import json.encoder
import math
import os
import pathlib
import re
import sys
import traceback
import types
import uuid
from collections.abc import Iterable
from typing import Any, Callable, Optional, Union

_orjson: Any
try:
    import orjson as _orjson
except ImportError:
    _orjson = None

MAX_DEPTH = 100
MAX_DECIMAL_DIGITS = 1000
MAX_MESSAGE_CHARS = 2000
MAX_TRACEBACK_BYTES = 20 * 1024
#: Steps from an object to something simpler, one after the other, after which it is taken for endless.
MAX_STEPS = 20

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_IDENTIFIER = re.compile(r"[^\W\d]\w*", re.ASCII)
_HERE = os.path.dirname(os.path.abspath(__file__))
_quoted: Callable[[str], str] = json.encoder.encode_basestring


class Unencodable(Exception):
    """A value that cannot become JSON.

    Args:
        path: Where inside the result, e.g. ``predictions[3].mask``; the whole is ``result``.
        reason: What is wrong there, with the type.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def encode(value: Any, limit_bytes: int = 64 * 2**20) -> bytes:
    """Turn a result into UTF-8 JSON.

    Raises:
        Unencodable: It cannot become JSON, or not within ``limit_bytes``.
    """
    if _orjson is not None:
        try:
            text: bytes = _orjson.dumps(value, _default, _OPTIONS)
        except BaseException:  # whatever it was: the careful way either copes or can say where it is
            pass
        else:
            if len(text) > limit_bytes:
                raise Unencodable("result", _too_large(limit_bytes))
            if not _is_deep(text):
                return text
    return _Walk(limit_bytes).run(value)


# -- The fast way ------------------------------------------------------------------------------------------------------

_OPTIONS = (
    _orjson.OPT_PASSTHROUGH_SUBCLASS | _orjson.OPT_PASSTHROUGH_DATETIME | _orjson.OPT_PASSTHROUGH_DATACLASS
    if _orjson is not None
    else 0
)


class _Slow(Exception):
    """Only the careful way can encode this."""


def _default(value: Any) -> Any:
    if _is_stream(value):
        raise _Slow  # its items come only once, and may be endless: nothing may be taken before the careful way runs
    raw = _array_json(value)
    return _simpler(value) if raw is None else _orjson.Fragment(raw)


def _is_deep(text: bytes) -> bool:
    """Whether a JSON text is nested too deeply. Costs about a nanosecond a byte, nothing for simple values."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = text.translate(_SQUARE, _NOT_MARKS).replace(b'""', b"")
    if b'"' in brackets:  # some string has brackets in it
        brackets = _outside_quotes(text)
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _outside_quotes(text: bytes, chunk_bytes: int = 2**20) -> bytes:
    """The brackets of a JSON text without escapes that do not stand in strings."""
    found, inside = [], 0
    for start in range(0, len(text), chunk_bytes):
        pieces = text[start : start + chunk_bytes].split(b'"')
        found.append(b"".join(pieces[inside::2]).translate(_SQUARE, _NOT_BRACKETS))
        inside ^= (len(pieces) - 1) & 1
    return b"".join(found)


# -- The careful way ---------------------------------------------------------------------------------------------------


class _Walk:
    """One walk through one result, which writes what it meets."""

    def __init__(self, limit_bytes: int):
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._path: list[Union[str, int]] = []
        self._open: set[int] = set()
        self._latest: Any = None

    def run(self, value: Any) -> bytes:
        try:
            self._value(value, 0)
        except Unencodable:
            raise
        except _Unknown as error:
            raise Unencodable(_shown(self._path), str(error)) from None
        except BaseException as error:  # a value's own code may raise anything
            reason = f"{_name(self._latest)} raised {_type_name(type(error))} while it was encoded"
            raise Unencodable(_shown(self._path), reason) from None
        return b"".join(self._pieces)

    def _write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit_bytes:
            raise Unencodable("result", _too_large(self._limit_bytes))
        self._pieces.append(piece)

    def _value(self, value: Any, steps: int) -> None:
        kind = type(value)
        write = _SCALARS.get(kind)
        if write is not None:
            self._write(write(value))
        elif kind is dict:
            self._within(value, self._object)
        elif kind is list or kind is tuple or _is_stream(value):
            self._within(value, self._array)
        else:
            self._foreign(value, steps)

    def _foreign(self, value: Any, steps: int) -> None:
        self._latest = value
        raw = _array_json(value)
        if raw is not None:
            self._check_depth(value, value.ndim)
            self._write(raw)
        elif steps >= MAX_STEPS:
            raise _Unknown(value)
        else:
            self._value(_simpler(value), steps + 1)

    def _within(self, value: Any, write: Callable[[Any], None]) -> None:
        if id(value) in self._open:
            raise Unencodable(_shown(self._path), f"{_name(value)} contains itself")
        self._check_depth(value, 1)
        self._latest = value
        self._open.add(id(value))
        write(value)
        self._open.discard(id(value))

    def _check_depth(self, value: Any, levels: int) -> None:
        if len(self._path) + levels > MAX_DEPTH:
            raise Unencodable(_shown(self._path), f"{_name(value)} is nested more than {MAX_DEPTH} levels deep")

    def _object(self, value: dict[Any, Any]) -> None:
        names: set[str] = set()
        before = b"{"
        for key, item in value.items():
            name = key if type(key) is str else self._key(key)
            if name in names:
                raise Unencodable(_shown(self._path), f"two keys of {_name(value)} become the same text {name[:60]!a}")
            names.add(name)
            self._path.append(name)
            self._write(before + _text(name) + b":")
            self._value(item, 0)
            self._path.pop()
            before = b","
        self._write(b"{}" if before == b"{" else b"}")

    def _array(self, value: Iterable[Any]) -> None:
        before = b"["
        self._path.append(0)
        for index, item in enumerate(value):
            self._path[-1] = index
            self._write(before)
            self._value(item, 0)
            self._latest, self._path[-1] = value, index + 1
            before = b","
        self._path.pop()
        self._write(b"[]" if before == b"[" else b"]")

    def _key(self, key: Any) -> str:
        name = _key_text(key, 0)
        if name is None:
            raise Unencodable(_shown(self._path), f"a key of type {_name(key)} cannot become text")
        return name


def _key_text(key: Any, steps: int) -> Optional[str]:
    if key is None or key is True or key is False:
        return {None: "null", True: "true", False: "false"}[key]
    kind = type(key)
    if kind is str:
        return str(key)
    if kind is int:
        return _digits(key).decode()
    if kind is float:
        return float.__repr__(key)
    numpy = sys.modules.get("numpy")
    may_be_key = (str, int, float, datetime.date, uuid.UUID, enum.Enum)
    if steps > MAX_STEPS or not (isinstance(key, may_be_key) or (numpy is not None and isinstance(key, numpy.generic))):
        return None
    return _key_text(_simpler(key), steps + 1)


def _text(value: str) -> bytes:
    try:
        return _quoted(value).encode()
    except UnicodeEncodeError:
        raise _Unknown(value, "str with a lone surrogate cannot become JSON") from None


def _digits(value: int) -> bytes:
    try:
        return int.__repr__(value).encode()
    except ValueError:  # longer than the interpreter likes to print; decimal has no such limit
        return str(decimal.Decimal(value)).encode()


def _number(value: float) -> bytes:
    return float.__repr__(value).encode() if math.isfinite(value) else b"null"


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    str: _text,
    int: _digits,
    float: _number,
    bool: lambda value: b"true" if value else b"false",
    type(None): lambda value: b"null",
}


def _shown(path: list[Union[str, int]]) -> str:
    """A path as its reader would write it in Python, bounded."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _IDENTIFIER.fullmatch(part) and len(part) <= 60:
            text += f".{part}"
        else:
            text += f"[{part[:60]!a}]"
        if len(text) > 300:
            text += "…"
            break
    return "result" + text if text.startswith("[") else text[1:] or "result"


def _name(value: Any) -> str:
    """A value's type, with its module unless it is a builtin."""
    name = _type_name(type(value))
    try:
        module = _clean(str.__str__(type(value).__module__))
    except Exception:  # a metaclass may do as it likes
        module = ""
    return name if module in ("", "builtins", "__main__") else f"{module}.{name}"[:200]


def _type_name(kind: type) -> str:
    """A type's own name, whatever its metaclass says."""
    return _clean(type.__dict__["__name__"].__get__(kind))[:100]


def _too_large(limit_bytes: int) -> str:
    return f"it is larger than {limit_bytes} bytes as JSON"


# -- What both ways know about types -----------------------------------------------------------------------------------


class _Unknown(Exception):
    """There is no JSON for a value of this type."""

    def __init__(self, value: Any, reason: str = ""):
        super().__init__(reason or f"{_name(value)} cannot become JSON")


def _is_stream(value: Any) -> bool:
    """Whether a value gives its items one by one: once only, or more of them than one may want to hold."""
    return isinstance(value, (collections.abc.Iterator, range)) and not isinstance(value, io.IOBase)


def _simpler(value: Any) -> Any:
    """Take a value that JSON does not know one step towards what it knows.

    Raises:
        _Unknown: No such step is known.
    """
    kind = type(value)
    step = _STEPS.get(kind)
    if step is not None:
        return step(value)
    if isinstance(value, enum.Enum):
        return value.value
    for take in (_from_numpy, _from_pandas, _from_torch):
        known, simpler = take(value)
        if known:
            return simpler
    for base, step in _BASES:
        if isinstance(value, base):
            return step(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _by_its_own_word(value)


def _by_its_own_word(value: Any) -> Any:
    """Ask an object of a foreign type for something simpler."""
    if isinstance(value, (type, types.FunctionType, types.ModuleType, io.IOBase)):
        raise _Unknown(value)
    for method in ("model_dump", "tolist"):
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(value, "__array__"):
        array = numpy.asarray(value)
        if array.ndim or array.dtype != object:
            return array
    raise _Unknown(value)


def _named(value: tuple[Any, ...]) -> Any:
    fields = getattr(value, "_fields", None)
    if isinstance(fields, tuple) and len(fields) == len(value):
        return dict(zip(fields, tuple.__iter__(value)))
    return list(tuple.__iter__(value))


def _in_order(value: Iterable[Any]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _from_decimal(value: decimal.Decimal) -> Union[int, float, None]:
    if not value.is_finite():
        return None
    if not value:
        return 0
    if value.adjusted() >= MAX_DECIMAL_DIGITS:
        raise _Unknown(value, f"Decimal of more than {MAX_DECIMAL_DIGITS} digits cannot become JSON")
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if math.isinf(number):
        raise _Unknown(value, "Decimal beyond the range of a double cannot become JSON")
    return number


def _base64(value: Any) -> str:
    return binascii.b2a_base64(bytes(value), newline=False).decode()


def _iso(value: Any) -> str:
    return str(value.isoformat())


_Step = Callable[[Any], Any]

_STEPS: dict[type, _Step] = {
    datetime.datetime: _iso,
    datetime.date: _iso,
    datetime.time: _iso,
    datetime.timedelta: datetime.timedelta.total_seconds,
    decimal.Decimal: _from_decimal,
    uuid.UUID: str,
    set: _in_order,
    frozenset: _in_order,
    bytes: _base64,
    bytearray: _base64,
    memoryview: _base64,
    collections.OrderedDict: dict,
    collections.defaultdict: dict,
    collections.deque: list,
}

_BASES: list[tuple[Union[type, tuple[type, ...]], _Step]] = [
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (tuple, _named),
    (list, list),
    (collections.abc.Mapping, dict),
    (collections.abc.MappingView, list),
    (collections.abc.Set, _in_order),
    ((datetime.date, datetime.time), _iso),
    (datetime.timedelta, lambda value: value.total_seconds()),
    (decimal.Decimal, _from_decimal),
    (uuid.UUID, str),
    (pathlib.PurePath, str),
    ((bytes, bytearray), _base64),
    ((collections.deque, collections.UserList), list),
    (collections.UserString, str),
    (types.SimpleNamespace, vars),
]

_Taken = tuple[bool, Any]
_NOT_MINE: _Taken = (False, None)


def _from_numpy(value: Any) -> _Taken:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return _NOT_MINE
    if isinstance(value, numpy.ma.MaskedArray):
        return True, value.tolist()
    array = numpy.asarray(value)
    kind = array.dtype.kind
    if kind == "c":
        raise _Unknown(value, f"{array.dtype.name} cannot become JSON")
    if kind == "f":
        return True, _floats(numpy, array)
    if kind == "M":
        return True, _moments(numpy, array)
    if kind == "m":
        return True, (array / numpy.timedelta64(1, "s")).tolist()
    return True, array.tolist()


def _floats(numpy: Any, array: Any) -> Any:
    if array.dtype.itemsize > 4:
        return array.astype(numpy.float64).tolist()
    return array.astype(numpy.float32).astype(str).astype(numpy.float64).tolist()


def _moments(numpy: Any, array: Any) -> Any:
    unit = numpy.datetime_data(array.dtype)[0]
    return array.astype("datetime64[D]" if unit in ("Y", "M", "W", "D", "generic") else "datetime64[us]").tolist()


def _array_json(value: Any) -> Optional[bytes]:
    """The JSON of an array of numbers, if it can be written without looking at each of them in Python."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return None
    kind, size = value.dtype.kind, value.dtype.itemsize
    if value.ndim == 0 or value.size == 0 or kind not in "biuf" or size > 8 or isinstance(value, numpy.ma.MaskedArray):
        return None
    if _orjson is None:
        try:
            return json.dumps(_from_numpy(value)[1], separators=(",", ":"), allow_nan=False).encode()
        except ValueError:  # NaN or Infinity among them
            return None
    dtype = numpy.float32 if kind == "f" and size < 4 else value.dtype.newbyteorder("=")
    return bytes(_orjson.dumps(numpy.ascontiguousarray(value, dtype), option=_orjson.OPT_SERIALIZE_NUMPY))


def _from_pandas(value: Any) -> _Taken:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return _NOT_MINE
    if value is pandas.NaT or value is pandas.NA:
        return True, None
    if isinstance(value, pandas.DataFrame):
        _must_be_unique(value, value.index, value.columns)
        return True, value.to_dict()
    if isinstance(value, pandas.Series):
        _must_be_unique(value, value.index)
        return True, value.to_dict()
    return _NOT_MINE


def _must_be_unique(value: Any, *indexes: Any) -> None:
    if not all(index.is_unique for index in indexes):
        raise _Unknown(value, f"{_name(value)} has labels that occur twice, which would be keys")


def _from_torch(value: Any) -> _Taken:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return _NOT_MINE
    tensor = value.detach().cpu()
    try:
        return True, tensor.numpy()
    except (TypeError, RuntimeError):  # of a type that numpy does not have, e.g. bfloat16
        return True, tensor.tolist()


# -- Exceptions --------------------------------------------------------------------------------------------------------


def describe_exception(error: BaseException) -> dict[str, str]:
    """Tell about an exception in plain text, whatever its own methods do.

    Returns:
        ``kind``, its type's name; ``message``, its text, bounded; ``traceback``, bounded, without the frames of the
        worker that called the model.
    """
    return {
        "kind": _type_name(type(error)),
        "message": _message(error),
        "traceback": _traceback(error),
    }


def _message(error: BaseException) -> str:
    try:
        message = str.__str__(str(error))
    except BaseException as broken:
        return f"(its text cannot be shown: {_type_name(type(broken))})"
    if len(message) > MAX_MESSAGE_CHARS:
        message = message[: MAX_MESSAGE_CHARS - 1] + "…"
    return _clean(message)[:MAX_MESSAGE_CHARS]


def _traceback(error: BaseException) -> str:
    try:
        start = error.__traceback__
        while start is not None and _is_ours(start):
            start = start.tb_next
        told = traceback.TracebackException(type(error), error, start)
        return _bounded(_clean("".join(told.format())))
    except BaseException:
        return ""


def _is_ours(frame: types.TracebackType) -> bool:
    return os.path.dirname(os.path.abspath(frame.tb_frame.f_code.co_filename)) == _HERE


def _clean(text: str) -> str:
    """Text without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _bounded(text: str) -> str:
    """The beginning and, more of it, the end of a text that is too long."""
    data = text.encode()
    if len(data) <= MAX_TRACEBACK_BYTES:
        return text
    head, tail = data[: MAX_TRACEBACK_BYTES // 4], data[-(MAX_TRACEBACK_BYTES * 3 // 4 - 16) :]
    return head.decode("utf-8", "ignore") + "\n[…]\n" + tail.decode("utf-8", "ignore")
