"""Small ONNX models for tests, written by hand as protocol buffers: no test needs the onnx package.

Field numbers are those of onnx.proto3. Only what the tests use is here.
"""

import struct

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64 = range(1, 14)

# As the Open Inference Protocol names them.
TYPES = {"BOOL": BOOL, "UINT8": UINT8, "UINT16": UINT16, "UINT32": UINT32, "UINT64": UINT64, "INT8": INT8, "INT16": INT16,
         "INT32": INT32, "INT64": INT64, "FP16": FLOAT16, "FP32": FLOAT, "FP64": DOUBLE, "BYTES": STRING}


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def _field(number, value):
    """A whole number, or what has a length: bytes, a text."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(number, values):
    return b"".join(_field(number, value) for value in values)


def tensor_info(name, kind, shape):
    """ValueInfoProto. A dimension that is a text is symbolic; `shape` None: nothing is said of it."""
    dimensions = [_field(2, one) if isinstance(one, str) else _field(1, one) for one in shape or ()]
    tensor = _field(1, kind) + (b"" if shape is None else _field(2, _fields(1, dimensions)))
    return _field(1, name) + _field(2, _field(1, tensor))


def scores_info(name, key_kind=STRING):
    """seq(map(key, tensor(float)))"""
    value = _field(1, _field(1, FLOAT))
    sequence = _field(1, _field(5, _field(1, key_kind) + _field(2, value)))
    return _field(1, name) + _field(2, _field(4, sequence))


def node(operator, inputs, outputs, attributes=(), domain=""):
    return (_fields(1, inputs) + _fields(2, outputs) + _field(4, operator) + _fields(5, attributes)
            + (_field(7, domain) if domain else b""))


def texts_attribute(name, texts):
    return _field(1, name) + _fields(9, texts) + _field(20, 8)


def int_attribute(name, value):
    return _field(1, name) + _field(3, value) + _field(20, 2)


def graph_attribute(name, value):
    return _field(1, name) + _field(6, value) + _field(20, 5)


def float_tensor(name, shape, values, external=None):
    """TensorProto. `values`: numbers, or their bytes. `external`: (file, offset) where they lie instead, `values` being how many bytes."""
    if external is None:
        data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}f", *values)
        return _fields(1, shape) + _field(2, FLOAT) + _field(8, name) + _field(9, data)
    entries = {"location": external[0], "offset": str(external[1]), "length": str(values)}
    data = [_field(1, key) + _field(2, value) for key, value in entries.items()]
    return _fields(1, shape) + _field(2, FLOAT) + _field(8, name) + _fields(13, data) + _field(14, 1)


def graph(nodes, inputs, outputs, weights=()):
    return _fields(1, nodes) + _field(2, "g") + _fields(5, weights) + _fields(11, inputs) + _fields(12, outputs)


def model(nodes, inputs, outputs, weights=()):
    versions = [_field(1, "") + _field(2, 17), _field(1, "ai.onnx.ml") + _field(2, 3)]
    return _field(1, 8) + _field(7, graph(nodes, inputs, outputs, weights)) + _fields(8, versions)


def identity(types=TYPES, shape=("n", 2)):
    """Every datatype in, the same out."""
    return model([node("Identity", ["in_" + name], ["out_" + name]) for name in types],
                 [tensor_info("in_" + name, kind, shape) for name, kind in types.items()],
                 [tensor_info("out_" + name, kind, shape) for name, kind in types.items()])


def double(shape=("n", 3)):
    """y = x + x of FP32."""
    return model([node("Add", ["x", "x"], ["y"])], [tensor_info("x", FLOAT, shape)], [tensor_info("y", FLOAT, shape)])
