"""A model alone (`runtime: model`): an ONNX file in a session of ONNX Runtime, made once in the zygote.

1. The session has no thread but the caller's, so the zygote that holds it may be forked; instances share its weights.
2. Every input is a tensor. Every output is one, or what scikit-learn's exporter puts in the place of one: a list of maps
   from label to score (ZipMap), given out as the matrix of scores it was made of, its columns in the order of the labels.
"""

import os

from . import loading

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_SCORES = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
_WARM_ELEMENTS = 1 << 22
_MESSAGE_CHARACTERS = 600


class RunFailed(Exception):
    """ONNX Runtime's words, cut. `by_input`: it blames what it was given."""

    def __init__(self, message, by_input):
        super().__init__(message)
        self.by_input = by_input


class Tensor:
    """An input or output as the graph declares it. A dimension that is not fixed is -1; `shape` is None where the graph
    says nothing of it (or where it is a scalar: ONNX Runtime does not tell the two apart)."""

    __slots__ = ("name", "datatype", "shape", "is_scores")

    def __init__(self, node):
        self.name = node.name
        self.is_scores = node.type in _SCORES
        self.datatype = "FP32" if self.is_scores else _DATATYPES.get(node.type)
        if self.is_scores:
            self.shape = [-1, -1]
        else:
            self.shape = [length if type(length) is int and length >= 0 else -1 for length in node.shape or ()] or None

    def fits(self, shape):
        return self.shape is None or (
            len(shape) == len(self.shape) and all(want in (-1, have) for want, have in zip(self.shape, shape))
        )

    @property
    def first_is_free(self):
        """Whether it may be a batch of any number of rows."""
        return self.shape is None or self.shape[0] == -1


def _cut(error):
    """In one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + " ..."


def _find(file):
    """Its path. Errors: LoadError."""
    path = os.path.join(loading.TASK, file)
    if not os.path.isfile(path):
        present = sorted(
            os.path.relpath(os.path.join(folder, name), loading.TASK)
            for folder, _, names in os.walk(loading.TASK)
            for name in names
            if name.endswith(".onnx")
        )
        listing = ", ".join(present[:8]) or "no .onnx file"
        raise loading.LoadError("NoModel", f"the package has no file '{file}': it has {listing}; set model in ebb.yaml")
    with open(path, "rb") as opened:
        head = opened.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise loading.LoadError("InvalidModel", f"{file} is a pointer of Git LFS, not the model: git lfs pull, and deploy again")
    return path


def _open(file):
    """(onnxruntime's session, its exceptions that blame an input). Errors: LoadError."""
    path = _find(file)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as native
    except ImportError as error:
        raise loading.LoadError("NoOnnxRuntime", f"ONNX Runtime cannot be loaded: {error}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what fails is raised; written out as well it would stand in the log twice
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise loading.LoadError("InvalidModel", f"{file} cannot be loaded as an ONNX model: {_cut(error)}") from None
    return session, (native.InvalidArgument, ValueError, TypeError)


class Model:
    def __init__(self, file):
        self._session, self._blaming_input = _open(file)
        self.inputs = {node.name: Tensor(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: Tensor(node) for node in self._session.get_outputs()}
        for kind, nodes in (("input", self._session.get_inputs()), ("output", self._session.get_outputs())):
            for node in nodes:
                tensor = (self.inputs if kind == "input" else self.outputs)[node.name]
                if tensor.datatype is None or (kind == "input" and tensor.is_scores):
                    raise loading.LoadError(
                        "UnsupportedModel",
                        f"{kind} '{node.name}' of {file} is {node.type}: tensors of bool, integers, float16, float, double and string can be served",
                    )
        self._scores = {name for name, tensor in self.outputs.items() if tensor.is_scores}
        self._warm()

    def _warm(self):
        """One run with zeros, where the graph takes them: what is set up at first use is in the zygote then."""
        import numpy as np

        from . import oip_tensors

        feeds = {}
        for tensor in self.inputs.values():
            shape = [1 if length == -1 else length for length in tensor.shape or ()]
            if np.prod(shape, dtype=float) > _WARM_ELEMENTS:
                return
            dtype = oip_tensors.DTYPES[tensor.datatype]
            feeds[tensor.name] = np.full(shape, "", dtype) if dtype.kind == "O" else np.zeros(shape, dtype)
        try:
            self.run(feeds)
        except RunFailed:
            pass  # zeros are not for every model

    def run(self, feeds, names=None):
        """{output: array}, of all outputs or the named. Errors: RunFailed."""
        names = list(names or self.outputs)
        try:
            results = self._session.run(names, feeds)
        except Exception as error:
            raise RunFailed(_cut(error), isinstance(error, self._blaming_input)) from None
        outputs = dict(zip(names, results))
        for name in self._scores.intersection(outputs):
            outputs[name] = _matrix(outputs[name])
        return outputs


def _matrix(rows):
    import numpy as np

    return np.array([[row[label] for label in sorted(row)] for row in rows], np.float32)
