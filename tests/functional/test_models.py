"""A model alone (`model: FILE.onnx`): the Open Inference Protocol v2 on a real node, with models written by hand and, as a client
that is not ours, tritonclient. ONNX Runtime is installed once, by the module's node."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import pytest

import onnx_models as onnx
from ebb_node import eventually, in_parallel, server_timing

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/digits-model"
FORMATS = {"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
           "FP16": "e", "FP32": "f", "FP64": "d", "BOOL": "?"}
VALUES = {"BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 2**32 - 1], "UINT64": [1, 2**64 - 1],
          "INT8": [-128, 127], "INT16": [-2**15, 2**15 - 1], "INT32": [-2**31, 2**31 - 1], "INT64": [-2**63, 2**63 - 1],
          "FP16": [0.5, -65504.0], "FP32": [0.25, -1.5e30], "FP64": [0.1, 1e300], "BYTES": ["", "grün \u0000 ✓"]}


def scores(domain="ai.onnx.ml"):
    """What scikit-learn's exporter makes of a classifier, ZipMap and all."""
    return onnx.model([onnx.node("ZipMap", ["x"], ["scores"], [onnx.texts_attribute("classlabels_strings", ["cat", "dog", "ant"])], domain)],
                      [onnx.tensor_info("x", onnx.FLOAT, ["n", 3])], [onnx.scores_info("scores")])


def sums():
    """y = the sum of x over its columns, an output for each row; of a matrix of any size."""
    return onnx.model([onnx.node("ReduceSum", ["x", "axes"], ["y"], [onnx.int_attribute("keepdims", 0)])],
                      [onnx.tensor_info("x", onnx.FLOAT, ["n", "m"]), onnx.tensor_info("axes", onnx.INT64, ["k"])],
                      [onnx.tensor_info("y", onnx.FLOAT, None)])


PACKAGE = {
    "identity.onnx": onnx.identity(),
    "double.onnx": onnx.double(),
    "scores.onnx": scores(),
    "sums.onnx": sums(),
}
FUNCTIONS = {
    "identity": {"model": "identity.onnx"},
    "double": {"model": "double.onnx"},
    "scores": {"model": "scores.onnx"},
    "sums": {"model": "sums.onnx"},
    "together": {"model": "double.onnx", "batch": {"size": 4, "window": "1s"}, "scale": {"max": 1}, "timeout": "20s"},
    "mixed": {"model": "identity.onnx", "batch": {"size": 8, "window": "100ms"}, "scale": {"max": 1}},
}


def deploy(node, app, functions, files, expect=0):
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": functions}), **files}, expect=expect)


@pytest.fixture(scope="module")
def models(node):
    deploy(node, "m", FUNCTIONS, PACKAGE)
    return node


def infer(node, name, request, expect=200, headers=None, data=None):
    path = f"m/{name}/v2/models/{name}/infer"
    answer = node.call(path, json=request, headers=headers) if data is None else node.call(path, data=data, headers=headers)
    assert answer.status_code == expect, answer.text
    if expect != 200:
        assert set(answer.json()) == {"error"}
        return answer.json()["error"]
    return answer


def tensor(name, datatype, shape, data, **more):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def rows(*values):
    """A request for the model that doubles."""
    return {"inputs": [tensor("x", "FP32", [len(values), 3], [[value, 0, 1] for value in values])]}


def test_the_server_says_what_it_is(models):
    assert models.call("m/double/v2").json()["extensions"] == ["binary_tensor_data"]
    assert models.call("m/double/v2/health/live").json() == {"live": True}
    assert models.call("m/double/v2/health/ready").json() == {"ready": True}
    for path in ("models/double", "models/double/versions/1", "models/double/"):
        assert models.call("m/double/v2/" + path).json() == {
            "name": "double", "versions": ["1"], "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]}
    assert models.call("m/double/v2/models/double/versions/1/ready").json() == {"name": "double", "ready": True}
    head = models.call("m/double/v2", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    for path, status, told in (("", 404, "where to begin"), ("v2/models/other", 404, "no model 'other'"),
                               ("v2/models/double/versions/7", 404, "no version '7'"), ("v2/models/double/config", 404, "ready and infer"),
                               ("v2/models/double/infer", 405, "POST is wanted")):
        answer = models.call("m/double/" + path)
        assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text
    assert models.call("m/double/v2", data=b"{}").status_code == 405


@pytest.mark.parametrize("function", ["identity", "mixed"])
def test_every_datatype_comes_back_as_it_was(models, function):
    inputs = [tensor("in_" + kind, kind, [1, 2], values) for kind, values in VALUES.items()]
    answer = infer(models, function, {"id": "seven", "inputs": inputs}).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (function, "1", "seven")
    assert {one["name"]: (one["datatype"], one["shape"], one["data"]) for one in answer["outputs"]} == {
        "out_" + kind: (kind, [1, 2], pytest.approx(values, rel=1e-6) if kind.startswith("FP") else values) for kind, values in VALUES.items()}


def packed(kind, values):
    if kind == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)
    return struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)


@pytest.mark.parametrize("function", ["identity", "mixed"])
def test_binary_tensors_in_and_out(models, function):
    parts = {kind: packed(kind, values) for kind, values in VALUES.items()}
    described = [{"name": "in_" + kind, "datatype": kind, "shape": [1, 2], "parameters": {"binary_data_size": len(part)}} for kind, part in parts.items()]
    text = json.dumps({"inputs": described, "outputs": [{"name": "out_BYTES", "parameters": {"binary_data": True}},
                                                        {"name": "out_INT64"}, {"name": "out_FP16", "parameters": {"binary_data": True}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    for encoding, body in ((None, text + b"".join(parts.values())), ("deflate", zlib.compress(text + b"".join(parts.values())))):
        answer = infer(models, function, None, data=body, headers={**headers, **({"Content-Encoding": encoding} if encoding else {})})
        length = int(answer.headers["Inference-Header-Content-Length"])
        outputs = json.loads(answer.content[:length])["outputs"]
        assert [one["name"] for one in outputs] == ["out_BYTES", "out_INT64", "out_FP16"]
        assert outputs[1]["data"] == VALUES["INT64"]
        assert answer.content[length:] == parts["BYTES"] + parts["FP16"]
        assert outputs[0]["parameters"] == {"binary_data_size": len(parts["BYTES"])}


def test_scores_of_a_classifier_are_a_matrix(models):
    answer = infer(models, "scores", {"inputs": [tensor("x", "FP32", [2, 3], [1, 2, 3, 4, 5, 6])]}).json()
    # Columns in the order of the labels: ant, cat, dog.
    assert answer["outputs"] == [tensor("scores", "FP32", [2, 3], [3, 1, 2, 6, 4, 5])]


WRONG = [
    ("no inputs", {}, "no list 'inputs'"),
    ("missing", {"inputs": []}, "missing is input 'x'"),
    ("unknown", {"inputs": [tensor("z", "FP32", [1, 3], [1, 2, 3])]}, "no input 'z', it has 'x'"),
    ("twice", {"inputs": [tensor("x", "FP32", [1, 3], [1, 2, 3])] * 2}, "there twice"),
    ("datatype", {"inputs": [tensor("x", "FP64", [1, 3], [1, 2, 3])]}, "the model wants FP32"),
    ("rank", {"inputs": [tensor("x", "FP32", [3], [1, 2, 3])]}, "the model wants [-1, 3]"),
    ("dimension", {"inputs": [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])]}, "the model wants [-1, 3]"),
    ("too few", {"inputs": [tensor("x", "FP32", [2, 3], [1, 2, 3])]}, "has 3 elements of data"),
    ("negative", {"inputs": [tensor("x", "FP32", [-1, 3], [1, 2, 3])]}, "whole numbers from 0 up"),
    ("true", {"inputs": [tensor("x", "FP32", [True, 3], [1, 2, 3])]}, "whole numbers from 0 up"),
    ("huge", {"inputs": [tensor("x", "FP32", [2**62, 3], [1])]}, "elements are the most"),
    ("huge together", {"inputs": [tensor("x", "FP32", [2**20] * 30, [1])]}, "elements are the most"),
    ("dimensions", {"inputs": [tensor("x", "FP32", [1] * 1000, [1])]}, "32 are the most"),
    ("text", {"inputs": [tensor("x", "FP32", [1, 3], ["1", "2", "3"])]}, "not numbers"),
    ("null", {"inputs": [tensor("x", "FP32", [1, 3], [1, None, 3])]}, "not numbers"),
    ("object", {"inputs": [tensor("x", "FP32", [1, 3], {"a": 1})]}, "elements of data"),
    ("no data", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3]}]}, "neither data nor binary_data_size"),
    ("binary that is not there", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}]}, "there are 0 bytes"),
    ("shared memory", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
    ("output", {**rows(1), "outputs": [{"name": "z"}]}, "no output 'z', it has 'y'"),
    ("classification", {**rows(1), "outputs": [{"name": "y", "parameters": {"classification": 2}}]}, "classification"),
    ("id", {**rows(1), "id": 7}, "id is not a string"),
    ("not an object", [1], "not a JSON object"),
    ("infinity", {"inputs": [tensor("x", "FP32", [1, 3], [3e38, 0, 0])]}, "ask for it with binary_data"),
]


@pytest.mark.sanitized
@pytest.mark.parametrize("function", ["double", "together"])
def test_what_is_wrong_is_said(models, function):
    for what, request, told in WRONG:
        error = infer(models, function, request, expect=400)
        assert told in error, (what, error)
    assert infer(models, function, rows(1, 2, 3, 4)).json()["outputs"][0]["data"][:3] == [2, 0, 2]


@pytest.mark.parametrize("function", ["double", "together"])
def test_hostile_bodies(models, function):
    deep = b'{"inputs":' + b"[" * 200_000
    nested = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":' + b"[" * 100 + b"1,2,3" + b"]" * 100 + b"}]}"
    for body, headers, told in (
        (deep, {}, "nested too deep"),
        (nested, {}, "nested more than 32 deep"),
        (b"", {}, "not JSON"),
        (b"\xff\xfe{", {}, "not JSON"),
        (b'{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[' + b"9" * 10_000 + b"]}]}", {}, "not JSON"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, "has 2 bytes"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, "has 2 bytes"),
        (b"{}", {"Content-Encoding": "gzip"}, "not gzip"),
        (zlib.compress(b"{}")[:-1], {"Content-Encoding": "deflate"}, "breaks off"),
    ):
        assert told in infer(models, function, None, 400, headers, body), told
    assert "can be read" in infer(models, function, None, 415, {"Content-Encoding": "br"}, b"{}")
    bomb = zlib.compress(b" " * (33 << 20), 9)
    assert "when it is unpacked" in infer(models, function, None, 413, {"Content-Encoding": "deflate"}, bomb)
    cut = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}]}).encode()
    length = {"Inference-Header-Content-Length": str(len(cut))}
    assert "there are 11 bytes" in infer(models, function, None, 400, length, cut + bytes(11))
    assert "13" not in infer(models, function, None, 400, length, cut + bytes(13))  # the one that is left over is named
    assert infer(models, function, rows(1, 2, 3, 4)).status_code == 200


def test_hostile_strings_and_numbers(models):
    def refused(kind, data, told):
        inputs = [tensor("in_" + one, one, [1, 2], values) for one, values in VALUES.items() if one != kind]
        assert told in infer(models, "identity", {"inputs": [*inputs, tensor("in_" + kind, kind, [1, 2], data)]}, 400)

    for kind, data in (("INT8", [300, 0]), ("UINT8", [-1, 0]), ("UINT64", [-1, 0]), ("INT64", [2**63, 0]), ("INT32", [2**70, 0])):
        refused(kind, data, "cannot hold" if data[0] < 2**70 else "")
    for kind, data in (("INT32", [1.5, 2]), ("INT64", [1.5, 2]), ("BOOL", [0, 1]), ("INT64", [True, 1]), ("BYTES", [1, 2]), ("FP32", [True, False])):
        refused(kind, data, "as its datatype")
    inputs = [tensor("in_" + one, one, [1, 2], values) for one, values in VALUES.items() if one != "BYTES"]
    for data, told in ((struct.pack("<I", 2**32 - 1) + bytes(8), "breaks off"), (bytes(7), "too few"), (bytes(9), "1 bytes more"),
                       (struct.pack("<I", 1) + b"\xff" + bytes(4), "UTF-8")):
        described = {"name": "in_BYTES", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}}
        text = json.dumps({"inputs": [*inputs, described]}).encode()
        assert told in infer(models, "identity", None, 400, {"Inference-Header-Content-Length": str(len(text))}, text + data)


def test_what_only_the_model_finds_wrong_is_the_callers_fault(models):
    good = [tensor("x", "FP32", [2, 2], [1, 2, 3, 4]), tensor("axes", "INT64", [1], [1])]
    assert infer(models, "sums", {"inputs": good}).json()["outputs"][0]["data"] == [3, 7]
    bad = [good[0], tensor("axes", "INT64", [1], [9])]
    answer = models.call("m/sums/v2/models/sums/infer", json={"inputs": bad})
    assert answer.status_code in (400, 500) and "axis" in answer.json()["error"].lower(), answer.text
    assert infer(models, "sums", {"inputs": good}).json()["outputs"][0]["data"] == [3, 7]


def test_calls_at_one_time_run_together(models):
    models.call("m/together/v2")  # so that all find one instance, not its start
    answers = in_parallel(4, lambda number: infer(models, "together", rows(number)))
    for number, answer in enumerate(answers):
        assert answer.json()["outputs"][0]["data"] == [2 * number, 0, 2]
        # The window is a whole second: it is the size that let them go.
        assert answer.headers["ebb-batch"] == "calls=4, rows=4"
    records = [one for one in models.usage("m/together") if one["request_id"] in {answer.headers["x-ebb-request-id"] for answer in answers}]
    assert len(records) == 4 and all(record["outcome"] == "ok" for record in records)
    assert len({record["instance"] for record in records if "instance" in record}) <= 1
    # More rows than a batch has run at once, and nobody with them.
    assert infer(models, "together", rows(1, 2, 3, 4, 5)).headers["ebb-batch"] == "calls=1, rows=5"


def test_who_asks_wrongly_fails_alone(models):
    models.call("m/together/v2")

    def ask(number):
        if number == 2:
            return infer(models, "together", {"inputs": [tensor("x", "FP32", [1, 3], [3e38, 0, 0])]}, expect=400)
        return infer(models, "together", rows(number)).json()["outputs"][0]["data"]

    answers = in_parallel(4, ask)
    assert "binary_data" in answers[2]
    assert [answers[number] for number in (0, 1, 3)] == [[0, 0, 2], [2, 0, 2], [6, 0, 2]]


def test_a_call_that_is_given_up_leaves_its_batch(models):
    body = json.dumps(rows(1)).encode()
    with models.connect() as connection:
        connection.sendall(b"POST /fn/m/together/v2/models/together/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        eventually(lambda: models.functions()["m/together"]["instances"]["busy"] == 1, "the call in its instance")
    answers = in_parallel(3, lambda number: infer(models, "together", rows(number)))
    # Three did not fill a batch of four: the fourth was not counted.
    assert {answer.headers["ebb-batch"] for answer in answers} <= {"calls=3, rows=3", "calls=2, rows=2", "calls=1, rows=1"}


def test_a_batch_that_takes_too_long_is_ended_and_the_next_is_served(models):
    spec = {"model": "double.onnx", "batch": {"size": 2, "window": "1s"}, "timeout": "300ms", "scale": {"max": 1}}
    deploy(models, "late", {"f": spec}, PACKAGE)
    answer = models.call("late/f/v2/models/f/infer", json=rows(1))  # nobody comes to fill its batch
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded"), answer.text
    answers = in_parallel(2, lambda number: models.call("late/f/v2/models/f/infer", json=rows(number)))
    assert [answer.json()["outputs"][0]["data"][0] for answer in answers] == [0, 2], answers[0].text
    models.cli("rm", "late", "--yes")


@pytest.mark.sanitized
@pytest.mark.parametrize("spec", [{"reuse": "never"}, {"idle_timeout": "0s"}, {"idle_timeout": "0s", "batch": {"size": 2}}])
def test_from_zero_every_time(models, spec):
    deploy(models, "zero", {"f": {"model": "double.onnx", **spec}}, PACKAGE)
    for number in range(3):
        answer = models.call("zero/f/v2/models/f/infer", json=rows(number))
        assert answer.json()["outputs"][0]["data"] == [2 * number, 0, 2]
        assert server_timing(answer)["start"]["desc"] == "fork"
        eventually(lambda: not models.pids_in("instances", "zero"), "the end of the instance")
    models.cli("rm", "zero", "--yes")


@pytest.mark.skipif(shutil.which("runsc") is None, reason="runsc is not installed (apt-get install runsc)")
def test_on_a_kernel_of_its_own(models):
    deploy(models, "walled", {"f": {"model": "double.onnx", "isolation": "gvisor", "memory": "256Mi"}}, PACKAGE)
    answer = models.call("walled/f/v2/models/f/infer", json=rows(21))
    assert answer.json()["outputs"][0]["data"] == [42, 0, 2], answer.text
    assert server_timing(answer)["start"]["desc"] == "boot"
    models.cli("rm", "walled", "--yes")


def held(pid):
    """{"Pss": bytes, ...} of a process."""
    lines = [line.split() for line in open(f"/proc/{pid}/smaps_rollup") if line.endswith("kB\n")]
    return {name.rstrip(":"): int(kib) * 1024 for name, kib, _ in lines}


@pytest.mark.parametrize("place", ["in the model", "beside it"])
def test_instances_share_the_weights_and_start_by_fork(fresh_node, place):
    """100 MB of weights, four instances: each has them, together they hold them once."""
    columns, count, instances = 6400, 4096, 4
    size = count * columns * 4
    data = struct.pack("<f", 0.5) * (count * columns)
    beside = place == "beside it"
    weights = onnx.float_tensor("w", [count, columns], size if beside else data, external=("weights.bin", 0) if beside else None)
    model = onnx.model([onnx.node("MatMul", ["x", "w"], ["y"])], [onnx.tensor_info("x", onnx.FLOAT, ["n", count])],
                       [onnx.tensor_info("y", onnx.FLOAT, ["n", columns])], [weights])
    files = {"parts/large.onnx": model, **({"parts/weights.bin": data} if beside else {})}
    deploy(fresh_node, "app", {"large": {"model": "parts/large.onnx", "scale": {"max": instances, "min": instances}, "memory": "1Gi"}}, files)
    body = {"inputs": [tensor("x", "FP32", [1, count], [1] + [0] * (count - 1))], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    eventually(lambda: len(fresh_node.pids_in("instances")) == instances, "four instances")

    def ask(_):
        answer = fresh_node.call("app/large/v2/models/large/infer", json=body)
        assert answer.status_code == 200, answer.text[:500]
        assert answer.content.endswith(struct.pack("<f", 0.5) * columns)
        return answer

    for answers in (in_parallel(instances, ask) for _ in range(3)):
        assert {server_timing(answer)["start"]["desc"] for answer in answers} <= {"idle", "fork"}
    own = [held(pid) for pid in fresh_node.pids_in("instances")]
    assert len(own) == instances
    assert all(one["Rss"] > size for one in own), f"not every instance has the weights: {own}"
    assert all(one["Private_Clean"] + one["Private_Dirty"] < size / 4 for one in own), own
    everybody = own + [held(pid) for pid in fresh_node.pids_in("zygotes")]
    assert sum(one["Pss"] for one in everybody) < 2 * size, "the weights and what each needs beside them"
    assert fresh_node.functions()["app/large"]["zygote"] == "ready"


def test_what_cannot_be_served_is_refused_at_deploy(models):
    def refused(functions, files):
        done = deploy(models, "bad", functions, files, expect=None)
        assert done.returncode != 0
        return json.loads(done.stdout)["error"]["message"]

    def one(**spec):
        return {"f": {"model": "f.onnx", **spec}}

    assert "it has a/g.onnx" in refused(one(), {"a/g.onnx": onnx.double()})
    assert "cannot be loaded as an ONNX model" in refused(one(), {"f.onnx": b"not ONNX at all"})
    assert "cannot be loaded as an ONNX model" in refused(one(), {"f.onnx": onnx.double()[:-30]})
    assert "git lfs pull" in refused(one(), {"f.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"})
    fixed = onnx.double((1, 3))
    assert "dynamic first dimension" in refused(one(batch={"size": 2}), {"f.onnx": fixed})
    sequence = onnx.model([onnx.node("SequenceConstruct", ["x", "x"], ["y"])], [onnx.tensor_info("x", onnx.FLOAT, [2])],
                          [b"\n\x01y" + bytes([0x12, 8, 0x22, 6, 0x0A, 4, 0x0A, 2, 8, 1])])
    assert "tensors of bool" in refused(one(), {"f.onnx": sequence})
    # Weights may lie in other files, of the sandbox: the host's are out of reach, whatever the path.
    secret = models.directory / "secret.bin"
    secret.write_bytes(bytes(12))
    secret.chmod(0o644)
    outside = onnx.float_tensor("w", [3, 1], 12, external=(f"../..{secret}", 0))
    escaping = onnx.model([onnx.node("MatMul", ["x", "w"], ["y"])], [onnx.tensor_info("x", onnx.FLOAT, ["n", 3])],
                          [onnx.tensor_info("y", onnx.FLOAT, ["n", 1])], [outside])
    assert "cannot be loaded" in refused(one(), {"f.onnx": escaping})


def test_a_direct_call_is_told_where_to_go(models):
    for name in ("double", "together"):
        done = models.cli("invoke", f"m/{name}", "--data", "{}", expect=None)
        assert done.returncode != 0 and f"/fn/m/{name}/v2" in done.stderr, done.stderr


def test_deploy_says_where_the_model_is(models):
    done = models.deploy(EXAMPLE, json_output=False)
    assert "/fn/handwriting/digits/v2/models/digits" in done.stdout
    request = json.loads((EXAMPLE / "sample.json").read_text())
    answer = models.call("handwriting/digits/v2/models/digits/infer", json=request)
    assert {one["name"]: one for one in answer.json()["outputs"]}["label"] == tensor("label", "INT64", [2], [3, 0])


TRAIN = """
import json
import numpy as np
from skl2onnx import to_onnx
from sklearn import datasets, linear_model, pipeline, preprocessing

pixels, labels = datasets.load_digits(return_X_y=True)
pixels, words = pixels.astype(np.float32), np.array([f"digit {label}" for label in labels])
plain = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=500)).fit(pixels, words)
ridge = linear_model.Ridge().fit(pixels, labels)
for name, model in (("words", plain), ("ridge", ridge)):
    with open(name + ".onnx", "wb") as file:
        file.write(to_onnx(model, pixels[:1]).SerializeToString())  # as it comes: scores by ZipMap
asked = pixels[:40]
with open("expected.json", "w") as file:
    json.dump({"asked": asked.ravel().tolist(), "labels": plain.predict(asked).tolist(), "scores": plain.predict_proba(asked).ravel().tolist(),
               "values": ridge.predict(asked).tolist()}, file)
"""


@pytest.mark.slow
def test_what_scikit_learn_exports_answers_as_scikit_learn(models, tmp_path):
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(tmp_path / "venv")], check=True)
    wanted = ["scikit-learn==1.6.1", "skl2onnx==1.19.1", "onnx==1.17.0", "packaging==25.0", "numpy==2.2.6"]
    subprocess.run([str(tmp_path / "venv/bin/pip"), "install", "-q", "--only-binary=:all:", *wanted], check=True)
    subprocess.run([str(tmp_path / "venv/bin/python"), "-c", TRAIN], check=True, cwd=tmp_path)
    files = {name: (tmp_path / name).read_bytes() for name in ("words.onnx", "ridge.onnx")}
    deploy(models, "sk", {"words": {"model": "words.onnx"}, "ridge": {"model": "ridge.onnx", "batch": {"size": 64}}}, files)
    expected = json.loads((tmp_path / "expected.json").read_text())
    request = {"inputs": [tensor("X", "FP32", [40, 64], expected["asked"])]}
    outputs = models.call("sk/words/v2/models/words/infer", json=request).json()["outputs"]
    assert outputs[0]["data"] == expected["labels"] and outputs[0]["datatype"] == "BYTES"
    assert outputs[1]["shape"] == [40, 10]
    assert outputs[1]["data"] == pytest.approx(expected["scores"], abs=1e-4)
    outputs = models.call("sk/ridge/v2/models/ridge/infer", json=request).json()["outputs"]
    assert outputs[0]["data"] == pytest.approx(expected["values"], abs=1e-4)


def test_a_model_that_the_build_makes(models):
    manifest = {"app": "made", "build": "mkdir out && cp double.onnx out/made.onnx", "functions": {"f": {"model": "out/made.onnx"}}}
    models.deploy({"ebb.yaml": json.dumps(manifest), **PACKAGE})
    assert models.call("made/f/v2/models/f/infer", json=rows(4)).json()["outputs"][0]["data"] == [8, 0, 2]


CLIENT = """
import sys
import numpy as np
import tritonclient.http as triton

address = sys.argv[1]
for name in ("identity", "mixed"):
    client = triton.InferenceServerClient(f"{address}/fn/m/{name}", network_timeout=60, connection_timeout=60)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name) and client.is_model_ready(name, "1")
    assert not client.is_model_ready("other")
    metadata = client.get_model_metadata(name)
    assert client.get_server_metadata()["name"] == "ebb"
    arrays = {}
    for one in metadata["inputs"]:
        kind = one["datatype"]
        if kind == "BYTES":
            arrays[kind] = np.array([["one".encode(), "zwei ü".encode()]], dtype=object)
        else:
            arrays[kind] = np.array([[1, 0]], dtype=triton.triton_to_np_dtype(kind))
    for binary in (True, False):
        for compressed in (None, "gzip", "deflate"):
            inputs, outputs = [], []
            for kind, array in arrays.items():
                given = triton.InferInput("in_" + kind, list(array.shape), kind)
                given.set_data_from_numpy(array, binary_data=binary or kind == "FP16")  # the client sends FP16 only like that
                inputs.append(given)
                outputs.append(triton.InferRequestedOutput("out_" + kind, binary_data=binary))
            result = client.infer(name, inputs, outputs=outputs, request_id="a", request_compression_algorithm=compressed)
            assert result.get_response()["id"] == "a"
            for kind, array in arrays.items():
                back = result.as_numpy("out_" + kind)
                if kind == "BYTES":
                    back = np.array([[one if isinstance(one, bytes) else one.encode() for one in back.ravel()]], dtype=object)
                assert back.shape == array.shape and (back == array).all(), (kind, binary, back)
    wrong = triton.InferInput("in_INT8", [1, 2], "INT8")
    wrong.set_data_from_numpy(arrays["INT8"])
    try:
        client.infer(name, [wrong])
    except triton.InferenceServerException as error:
        assert error.status() == "400" and "missing is input" in error.message(), error
    else:
        raise AssertionError("no error")
    client.close()
print("fine")
"""


@pytest.fixture(scope="module")
def triton_path(models, tmp_path_factory):
    """Where tritonclient lies, from the package index; numpy is that of the node's own layer."""
    place = tmp_path_factory.mktemp("triton")
    wanted = ["tritonclient==2.73.0", "python-rapidjson==1.25", "geventhttpclient==2.6.1", "gevent==26.9.0", "greenlet==3.3.2", "zope.event==6.2",
              "zope.interface==8.7", "brotli==1.2.1", "certifi==2026.10.18", "urllib3==2.8.0", "ml_dtypes==0.5.4"]
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--no-deps", "--only-binary=:all:", "--target", str(place), *wanted],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return f"{place}:{models.data}/layers/{models.functions()['m/double']['layer']}"


def test_tritonclient(models, triton_path):
    done = subprocess.run([sys.executable, "-c", CLIENT, models.url.removeprefix("http://")], env={"PYTHONPATH": triton_path, "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr
