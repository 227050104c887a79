"""Tensors of the Open Inference Protocol v2: from JSON and from raw bytes to numpy arrays, and back.

1. What comes in is checked here: type, range, length. Nothing is converted silently: 1.5 is no INT64, 300 no INT8, "5" no number.
2. Raw bytes are little-endian and row-major; of BYTES each element has its length, four bytes, in front.
3. The strings of ONNX are text, so BYTES has to be UTF-8.
"""

import numpy as np

DTYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
}
ELEMENTS_MAX = 1 << 28  # far more than a request can bring: a bound for shapes, whose product nobody may overflow
_LENGTH_BYTES = 4
_DIMENSIONS_MAX = 32


class Wrong(Exception):
    """The tensor is not what its description says. The text goes on from "input 'x' "."""


def elements_of(shape):
    """How many a shape means. Errors: Wrong."""
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise Wrong("has a shape that is not a list of whole numbers from 0 up")
    if len(shape) > _DIMENSIONS_MAX:
        raise Wrong(f"has a shape of {len(shape)} dimensions, {_DIMENSIONS_MAX} are the most")
    count = 1
    for length in shape:
        count *= length
    if count > ELEMENTS_MAX or max(shape, default=0) > ELEMENTS_MAX:
        raise Wrong(f"has the shape {shape}, {ELEMENTS_MAX} elements are the most")
    return count


def _check_count(have, shape, count):
    if have != count:
        raise Wrong(f"has {have} elements of data, its shape {shape} wants {count}")


def _flat(data):
    """The leaves of nested lists, in order. Errors: Wrong."""
    for _ in range(_DIMENSIONS_MAX + 1):
        if not any(isinstance(part, list) for part in data):
            return data
        data = [leaf for part in data for leaf in (part if isinstance(part, list) else (part,))]
    raise Wrong(f"has data nested more than {_DIMENSIONS_MAX} deep")


_KINDS = {"b": "true and false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}


def _numbers(leaves, dtype):
    """Errors: Wrong, OverflowError."""
    wanted = _KINDS[dtype.kind]
    found = np.array(leaves) if dtype.itemsize < 8 or dtype.kind not in "iu" else None
    if found is None:  # 64 bits: numpy alone would make floats of some, and lose digits
        if not all(type(leaf) is int for leaf in leaves):
            raise Wrong(f"has data that is not {wanted}, as its datatype wants")
        return np.array(leaves, dtype)
    fits = found.dtype.kind == dtype.kind or (found.dtype.kind in "iu" and dtype.kind in "iuf")
    if found.dtype.kind == "O" and dtype.kind == "f" and all(type(leaf) in (int, float) for leaf in leaves):
        return np.array(leaves, np.float64).astype(dtype)  # an integer beyond 64 bits
    if not fits:
        raise Wrong(f"has data that is not {wanted}, as its datatype wants")
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if found.min() < bounds.min or found.max() > bounds.max:
            raise OverflowError
    with np.errstate(over="ignore"):
        return found.astype(dtype)


def from_json(datatype, shape, data):
    """`data` as JSON has it, flat or nested. Errors: Wrong."""
    count = elements_of(shape)
    leaves = _flat(data) if isinstance(data, list) else [data]
    _check_count(len(leaves), shape, count)
    dtype = DTYPES[datatype]
    if not leaves:
        return np.empty(shape, dtype)
    if dtype.kind == "O":
        if not all(type(leaf) is str for leaf in leaves):
            raise Wrong("has data that is not strings, as its datatype BYTES wants")
        return np.array(leaves, dtype).reshape(shape)
    try:
        return _numbers(leaves, dtype).reshape(shape)
    except OverflowError:
        raise Wrong(f"has a number in its data that {datatype} cannot hold") from None
    except (ValueError, TypeError):
        raise Wrong(f"has data that is not {_KINDS[dtype.kind]}, as its datatype wants") from None


def from_bytes(datatype, shape, data):
    """`data` is bytes-like. Errors: Wrong."""
    count = elements_of(shape)
    dtype = DTYPES[datatype]
    if dtype.kind == "O":
        return _strings(data, shape, count)
    if len(data) != count * dtype.itemsize:
        raise Wrong(f"has {len(data)} bytes of data, {datatype} of shape {shape} has {count * dtype.itemsize}")
    if not count:
        return np.empty(shape, dtype)
    if dtype.kind == "b":
        return (np.frombuffer(data, np.uint8) != 0).reshape(shape)
    return np.frombuffer(data, dtype).copy().reshape(shape)  # a copy is aligned, wherever the bytes lay


def _strings(data, shape, count):
    if len(data) < count * _LENGTH_BYTES:
        raise Wrong(f"has {len(data)} bytes of data, too few for {count} elements and their lengths")
    found, at = [], 0
    for _ in range(count):
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        if at > len(data) or length > len(data) - at:
            raise Wrong(f"breaks off in element {len(found)} of its data")
        try:
            found.append(str(data[at : at + length], "utf-8"))
        except UnicodeDecodeError:
            raise Wrong(f"has bytes in element {len(found)} that are not UTF-8: a string of ONNX is text") from None
        at += length
    if at != len(data):
        raise Wrong(f"has {len(data) - at} bytes more than its {count} elements")
    array = np.empty(count, dtype=object)
    array[:] = found
    return array.reshape(shape)


def to_json(array):
    """A flat list. Errors: Wrong where JSON has no such number."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Wrong("holds NaN or infinity, which JSON has not: ask for it with binary_data")
    return array.reshape(-1).tolist()


def to_bytes(array):
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts = []
    for text in array.reshape(-1):
        element = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        parts += (len(element).to_bytes(_LENGTH_BYTES, "little"), element)
    return b"".join(parts)
