"""Every runtime through the same matrix: deployed, called, failing, crashing, too late, logged, metered, at zero and back.

The functions and what each runtime is to do stand in matrix_functions.py; docs/reference/runtimes.md says the same to users.
What a runtime cannot do is a cell like the others: it is asserted that it says so, or that nothing comes.
"""

import math
import pathlib

import pytest

from ebb_node import ROOT, eventually, server_timing
from matrix_functions import RUNTIMES


class Row:
    """A runtime with its functions on the node: `f`, and `hasty` with a timeout of a second."""

    def __init__(self, name, node, folder):
        self.name, self.node, self.folder, self.runtime = name, node, folder, RUNTIMES[name]
        self.app = "row-" + "-".join(name.replace(",", "").lower().split())
        self.deploy(self.app, {"f": {}, "hasty": {"timeout": "1s"}})

    def deploy(self, app, functions):
        folder = self.folder / app
        folder.mkdir()
        return self.runtime.deploy(self.node, folder, app, functions)

    def ask(self, wish="fine", function="f", app=None):
        return self.runtime.ask(self.node, function, wish, app or self.app)

    def fine(self, answer):
        """It is the answer to "fine". Returns how many calls its instance has had; of a model always one."""
        assert answer.status_code == 200, answer.text
        if self.runtime.is_model:
            assert [one["data"] for one in answer.json()["outputs"]] == [[1, 7, 7]]
            return 1
        word, count = answer.text.strip('"').split()
        assert word == "fine"
        return int(count)

    def record(self, answer):
        one, = self.node.usage(request=answer.headers["X-Ebb-Request-Id"])
        return one

    def lines(self, answer, function="f"):
        found = self.node.logs(f"{self.app}/{function}", request=answer.headers["X-Ebb-Request-Id"])
        return {(line["stream"], line["text"]) for line in found}


@pytest.fixture(scope="module", params=RUNTIMES)
def row(request, node, tmp_path_factory):
    if missing := RUNTIMES[request.param].missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    one = Row(request.param, node, tmp_path_factory.mktemp("row"))
    yield one
    node.cli("rm", one.app, "--yes")
    eventually(lambda: not node.pids_in("instances", one.app), "the end of its instances")


def test_it_is_deployed(row):
    listed = row.node.functions(row.app)
    assert set(listed) == {f"{row.app}/f", f"{row.app}/hasty"}
    for one in listed.values():
        assert (one["version"], one["zygote"], one["zygote_note"]) == (1, "ready", "")
        assert one["spec"]["runtime"] == row.name.split(",")[0]


def test_it_is_called_and_keeps_its_state(row):
    first = row.fine(row.ask())
    second = row.ask()
    assert server_timing(second)["start"]["desc"] == "idle"
    assert row.fine(second) == (1 if row.runtime.is_model else first + 1)


def test_it_is_called_directly_or_says_where_to_go(row):
    done = row.node.cli("invoke", f"{row.app}/f", "--data", '{"rawPath": "/fine"}', expect=None)
    if row.runtime.direct:
        assert done.returncode == 0 and "fine" in done.stdout, done.stderr
        assert row.node.usage(f"{row.app}/f")[-1]["trigger"] == "direct"
    else:
        assert done.returncode == 2 and f"/fn/{row.app}/f/" in done.stderr, done.stderr
    row.fine(row.ask())


def test_an_error_is_told_and_the_instance_goes_on(row):
    row.fine(row.ask())
    status, outcome, words = row.runtime.error
    answer = row.ask("error")
    assert answer.status_code == status and words in answer.text, answer.text
    if status == 502:
        assert answer.json()["error"]["code"] == "function_failed"
        assert any(words in text for _, text in row.lines(answer))
    record = row.record(answer)
    assert (record["outcome"], record["http_status"], record["billed"]) == (outcome, status, True)
    after = row.ask()
    row.fine(after)
    assert row.record(after)["instance"] == record["instance"] and server_timing(after)["start"]["desc"] == "idle"


def test_a_crash_is_told_and_another_instance_answers(row):
    outcome, words = row.runtime.crash
    answer = row.ask("crash")
    assert answer.status_code == 502 and words in answer.text, answer.text
    assert answer.json()["error"]["code"] == "function_failed"
    record = row.record(answer)
    assert (record["outcome"], record["http_status"], record["billed"]) == (outcome, 502, True)
    assert any(stream == "platform" and words in text for stream, text in row.lines(answer))
    after = row.ask()
    assert row.fine(after) == 1 and row.record(after)["instance"] != record["instance"]


def test_a_timeout_ends_the_call_and_another_instance_answers(row):
    answer = row.ask("sleep", "hasty")
    assert answer.status_code == 504, answer.text
    error = answer.json()["error"]
    assert error["code"] == "deadline_exceeded" and "within its timeout of 1s" in error["message"]
    record = row.record(answer)
    assert (record["outcome"], record["http_status"], record["billed"]) == ("timed_out", 504, True)
    assert record["handler_ms"] >= 1000 and record["billed_ms"] >= 1000
    after = row.ask("fine", "hasty")
    assert row.fine(after) == 1 and row.record(after)["instance"] != record["instance"]


def test_its_lines_are_of_the_call(row):
    answer = row.ask()
    own = {("out", "out fine"), ("err", "err fine")}
    if row.runtime.logs:
        assert own <= row.lines(answer)
    else:
        assert row.lines(answer) == set(), "it has nothing to print with"
    other = row.ask("error")
    assert not own & row.lines(other), "lines of another call"


def test_each_call_has_a_usage_record(row):
    before = row.node.usage_totals(f"{row.app}/f")["invocations"]
    answer = row.ask()
    record, timing = row.record(answer), server_timing(answer)
    assert row.node.usage_totals(f"{row.app}/f")["invocations"] == before + 1
    assert (record["app"], record["function"], record["version"], record["trigger"]) == (row.app, "f", 1, "http")
    assert (record["state"], record["outcome"], record["http_status"], record["billed"]) == ("closed", "ok", 200, True)
    assert record["billed_because"] == "the handler answered"
    assert record["rung"] == timing["start"]["desc"]
    assert record["handler_ms"] == pytest.approx(timing["handler"]["dur"], abs=0.002) and record["handler_ms"] > 0
    assert record["billed_ms"] == max(1, math.ceil(round(record["handler_ms"], 6)))
    assert record["bytes_out"] == len(answer.content) and float(record["cu"]) > 0
    assert record["memory_limit_bytes"] == (256 if "memory" in row.runtime.spec else 128) << 20
    assert 0 < record["memory_peak_bytes"] <= record["memory_limit_bytes"]


def test_it_goes_to_zero_and_comes_back(row):
    app = row.app + "-zero"
    row.deploy(app, {"brief": {"idle_timeout": "0s"}})

    def serving():
        instances = row.node.functions(app)[f"{app}/brief"]["instances"]
        return sum(instances.values()) - instances["spare"]

    for _ in range(2):
        eventually(lambda: serving() == 0, "that none has served")
        answer = row.ask("fine", "brief", app)
        assert row.fine(answer) == 1 and server_timing(answer)["start"]["desc"] in ("fork", "spare")
    eventually(lambda: serving() == 0, "zero")
    row.node.cli("rm", app, "--yes")


def documented(name, runtime):
    status, outcome, _ = runtime.error
    return (f"| `{name.split(',')[0]}`{name.partition(',')[1]}{name.partition(',')[2]} | {'yes' if runtime.direct else 'no'} | {status}, `{outcome}` | "
            f"502, `{runtime.crash[0]}` | {'of their call' if runtime.logs else 'none'} |")


def test_the_page_says_the_same():
    page = pathlib.Path(ROOT / "docs/reference/runtimes.md").read_text().splitlines()
    rows = [line for line in page if line.startswith("| `")]
    assert rows == [documented(name, runtime) for name, runtime in RUNTIMES.items()]
