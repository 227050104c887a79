"""The Open Inference Protocol v2 over HTTP for one model, with the extension of binary tensors.

    GET  /v2   /v2/health/live   /v2/health/ready   /v2/models/NAME[/versions/V]   .../ready
    POST /v2/models/NAME[/versions/V]/infer

`Protocol.read` makes of a request an answer, or a question for the model (`Inference`), whose answer `Inference.answer`
makes: between the two the caller may let several wait for one run. All that is wrong with a request is a Refusal.
"""

import json
import zlib
from urllib.parse import unquote

from . import oip_tensors

BODY_BYTES = 32 * 1024 * 1024  # of a request, unpacked: as much as one may have that is not packed
_JSON_LENGTH = "inference-header-content-length"
_JSON = ["content-type", "application/json"]
_BINARY = ["content-type", "application/octet-stream"]


class Answer:
    """`headers` is a list of [name, value]."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Refusal(Exception):
    """What is wrong, for the client, with the status that says whose fault it is."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status

    def answer(self):
        return _json_answer(self.status, {"error": str(self)})


def _json_answer(status, value):
    return Answer(status, [_JSON], json.dumps(value, separators=(",", ":")).encode())


def _listed(names):
    return ", ".join(f"'{name}'" for name in names) or "none"


def _parameters(value, owner):
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, f"the parameters of {owner} are not an object")
    if "shared_memory_region" in parameters:
        raise Refusal(400, f"{owner} lies in shared memory, which a function has not: send it")
    return parameters


class _Wish:
    """An output that is asked for."""

    __slots__ = ("name", "binary")

    def __init__(self, name, binary):
        self.name = name
        self.binary = binary


class Inference:
    """One question: arrays to feed, and how the answer is to look."""

    def __init__(self, protocol, identity, feeds, wishes):
        self._protocol = protocol
        self._identity = identity
        self.feeds = feeds
        self._wishes = wishes

    @property
    def names(self):
        """Of the outputs that are asked for."""
        return [wish.name for wish in self._wishes]

    def answer(self, outputs, headers=()):
        """Errors: Refusal."""
        described, pieces = [], []
        for wish in self._wishes:
            array = outputs[wish.name]
            datatype = self._protocol.model.outputs[wish.name].datatype
            output = {"name": wish.name, "datatype": datatype, "shape": list(array.shape)}
            if wish.binary:
                pieces.append(oip_tensors.to_bytes(array))
                output["parameters"] = {"binary_data_size": len(pieces[-1])}
            else:
                try:
                    output["data"] = oip_tensors.to_json(array)
                except oip_tensors.Wrong as wrong:
                    raise Refusal(400, f"output '{wish.name}' {wrong}") from None
            described.append(output)
        told = {"model_name": self._protocol.name, "model_version": self._protocol.version}
        if self._identity is not None:
            told["id"] = self._identity
        answer = _json_answer(200, {**told, "outputs": described})
        if any(wish.binary for wish in self._wishes):
            answer.headers = [_BINARY, [_JSON_LENGTH, str(len(answer.body))]]
            answer.body = b"".join([answer.body, *pieces])
        answer.headers.extend(headers)
        return answer


class Protocol:
    """`name` and `version` are what clients call the model by."""

    def __init__(self, model, name, version, platform_version):
        self.model = model
        self.name = name
        self.version = version
        self._server = {"name": "ebb", "version": platform_version, "extensions": ["binary_tensor_data"]}

    def read(self, method, path, headers, body):
        """An Answer or an Inference. `headers` have lower-case names. Errors: Refusal."""
        words = tuple(unquote(word) for word in path.strip("/").split("/"))
        if words[:2] == ("v2", "models") and len(words) > 2:
            return self._of_the_model(method, words[2], words[3:], headers, body)
        answers = {("v2",): self._server, ("v2", "health", "live"): {"live": True}, ("v2", "health", "ready"): {"ready": True}}
        if words not in answers:
            raise Refusal(404, f"there is no {path[:200]}: /v2 and /v2/models/{self.name} are where to begin")
        self._want(method, "GET")
        return _json_answer(200, answers[words])

    @staticmethod
    def _want(method, wanted):
        if method != wanted and not (method == "HEAD" and wanted == "GET"):
            raise Refusal(405, f"the method is {method[:20]}, {wanted} is wanted here")

    def _of_the_model(self, method, name, words, headers, body):
        if name != self.name:
            raise Refusal(404, f"there is no model '{name[:100]}', the model here is '{self.name}'")
        if words[:1] == ("versions",) and len(words) > 1:
            if words[1] != self.version:
                raise Refusal(404, f"there is no version '{words[1][:40]}' of {self.name} here, its version is '{self.version}'")
            words = words[2:]
        if words == ("infer",):
            self._want(method, "POST")
            return self._read_infer(headers, body)
        answers = {(): self._metadata, ("ready",): lambda: {"name": self.name, "ready": True}}
        if words not in answers:
            raise Refusal(404, f"there is no '{'/'.join(words)[:100]}' of a model: ready and infer are")
        self._want(method, "GET")
        return _json_answer(200, answers[words]())

    def _metadata(self):
        def described(tensors):
            return [{"name": one.name, "datatype": one.datatype, "shape": one.shape or []} for one in tensors.values()]

        return {
            "name": self.name, "versions": [self.version], "platform": "onnx_onnxv1",
            "inputs": described(self.model.inputs), "outputs": described(self.model.outputs),
        }

    # The question.

    def _read_infer(self, headers, body):
        text, rest = _parts(headers, _unpacked(headers, body))
        request = _parsed(text)
        identity = request.get("id")
        if identity is not None and not isinstance(identity, str):
            raise Refusal(400, "the id is not a string")
        binary_by_default = _parameters(request, "the request").get("binary_data_output", False) is True
        feeds = self._read_inputs(request.get("inputs"), rest)
        return Inference(self, identity, feeds, self._read_wishes(request.get("outputs"), binary_by_default))

    def _read_inputs(self, inputs, rest):
        if not isinstance(inputs, list):
            raise Refusal(400, "the request has no list 'inputs'")
        feeds, at = {}, 0
        for given in inputs:
            tensor = self._declared(given, self.model.inputs, "input")
            if tensor.name in feeds:
                raise Refusal(400, f"input '{tensor.name}' is there twice")
            try:
                feeds[tensor.name], at = _read_input(tensor, given, rest, at)
            except oip_tensors.Wrong as wrong:
                raise Refusal(400, f"input '{tensor.name}' {wrong}") from None
        missing = [name for name in self.model.inputs if name not in feeds]
        if missing:
            raise Refusal(400, f"missing is input {_listed(missing)}")
        if at != len(rest):
            raise Refusal(400, f"{len(rest) - at} bytes of binary data are left over: no input has them in its binary_data_size")
        return feeds

    def _read_wishes(self, outputs, binary_by_default):
        if outputs is None or outputs == []:
            return [_Wish(name, binary_by_default) for name in self.model.outputs]
        if not isinstance(outputs, list):
            raise Refusal(400, "'outputs' is not a list")
        wishes = {}
        for given in outputs:
            tensor = self._declared(given, self.model.outputs, "output")
            parameters = _parameters(given, f"output '{tensor.name}'")
            if parameters.get("classification"):
                raise Refusal(400, f"output '{tensor.name}' is asked for as classification, which is not served: take the scores")
            wishes[tensor.name] = _Wish(tensor.name, parameters.get("binary_data", binary_by_default) is True)
        return list(wishes.values())

    @staticmethod
    def _declared(given, tensors, kind):
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str):
            raise Refusal(400, f"an {kind} has no name")
        if name not in tensors:
            raise Refusal(400, f"the model has no {kind} '{name[:100]}', it has {_listed(tensors)}")
        return tensors[name]


def _read_input(tensor, given, rest, at):
    """(array, where the binary data of the next input begins). Errors: oip_tensors.Wrong, Refusal."""
    datatype, shape = given.get("datatype"), given.get("shape")
    if datatype != tensor.datatype:
        raise oip_tensors.Wrong(f"is of datatype {str(datatype)[:20]}, the model wants {tensor.datatype}")
    oip_tensors.elements_of(shape)
    if not tensor.fits(shape):
        raise oip_tensors.Wrong(f"has shape {shape}, the model wants {tensor.shape} (-1: any length)")
    size = _parameters(given, f"input '{tensor.name}'").get("binary_data_size")
    if size is None:
        if "data" not in given:
            raise oip_tensors.Wrong("has neither data nor binary_data_size")
        return oip_tensors.from_json(datatype, shape, given["data"]), at
    if "data" in given:
        raise oip_tensors.Wrong("has both data and binary_data_size")
    if type(size) is not int or not 0 <= size <= len(rest) - at:
        raise oip_tensors.Wrong(f"has the binary_data_size {str(size)[:20]}, behind the JSON there are {len(rest) - at} bytes for it")
    return oip_tensors.from_bytes(datatype, shape, rest[at : at + size]), at + size


def _unpacked(headers, body):
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        return body
    if packing not in ("gzip", "deflate"):
        raise Refusal(415, f"the content-encoding is {packing[:40]!r}: gzip, deflate or none can be read")
    unpacker = zlib.decompressobj(wbits=47)  # the head tells which of the two it is
    try:
        body = unpacker.decompress(body, BODY_BYTES + 1)
    except zlib.error as error:
        raise Refusal(400, f"the body is not {packing}: {error}") from None
    if len(body) > BODY_BYTES:
        raise Refusal(413, f"the body has more than {BODY_BYTES} bytes when it is unpacked")
    if not unpacker.eof:
        raise Refusal(400, f"the body breaks off: its {packing} has no end")
    return body


def _parts(headers, body):
    """(the JSON, the tensors behind it)"""
    length = headers.get(_JSON_LENGTH)
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit() and len(length) < 12) or int(length) > len(body):
        raise Refusal(400, f"Inference-Header-Content-Length is {length[:20]!r}, the body has {len(body)} bytes")
    return body[: int(length)], memoryview(body)[int(length) :]


def _parsed(text):
    try:
        request = json.loads(str(text, "utf-8"))
    except RecursionError:
        raise Refusal(400, "the request is nested too deep") from None
    except ValueError as error:
        raise Refusal(400, f"the request is not JSON: {str(error)[:200]}") from None
    if not isinstance(request, dict):
        raise Refusal(400, "the request is not a JSON object")
    return request
