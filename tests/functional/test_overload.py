"""More calls than can be served: who would wait too long hears so at once, and one app's starts do not hold up another's."""

import concurrent.futures
import time

import pytest

from ebb_node import eventually, in_parallel, read_response

SLOW = "import time\ndef handler(event, context):\n    time.sleep(0.3)\n    return 1\n"
HANGS = "import ebb, time\n@ebb.after_restore\ndef connect():\n    time.sleep(6)\ndef handler(event, context):\n    return 1\n"
ENDS = "import os, time\ndef handler(event, context):\n    print('began', event['rawPath'], flush=True)\n    time.sleep(0.2)\n    os._exit(3)\n"
QUICK = "def handler(event, context):\n    return 1\n"


@pytest.mark.sanitized
def test_who_would_wait_too_long_is_refused_with_the_time_to_try_again(node):
    node.deploy_function(SLOW, app="slow", scale={"max": 1}, max_wait="500ms")
    assert node.call("slow/f").status_code == 200  # from here on it is known what a call takes
    answers = in_parallel(10, lambda n: node.call("slow/f"))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(refused) < 10
    for answer in refused:
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
        error = answer.json()["error"]
        assert error["code"] == "resource_exhausted" and "max_wait (500ms)" in error["message"] and "scale.max" in error["message"]
    assert node.call("slow/f").status_code == 200
    records = {record["request_id"]: record for record in node.usage("slow/f")}
    for answer in answers:
        assert (answer.headers["X-Ebb-Request-Id"] in records) == (answer.status_code == 200), "a refused call is not billed"


def test_who_comes_again_after_the_time_told_is_served(node):
    node.deploy_function("import time\ndef handler(event, context):\n    time.sleep(1)\n    return 1\n", app="told", scale={"max": 1}, max_wait="3s")
    assert node.call("told/f").status_code == 200  # from here on it is known what a call takes
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(node.call, "told/f") for _ in range(12)]
        refused = next(answer for answer in (call.result() for call in concurrent.futures.as_completed(calls)) if answer.status_code == 429)
        told = int(refused.headers["Retry-After"])
        assert 3 <= told <= 6, "what waits takes longer than max_wait, and is served in a few seconds"
        time.sleep(max(0, began + told - time.monotonic()))
        assert node.call("told/f").status_code == 200
        assert sorted({call.result().status_code for call in calls}) == [200, 429]


def test_who_is_refused_is_so_before_its_body_and_keeps_its_connection(node):
    node.deploy_function("import time\ndef handler(event, context):\n    time.sleep(float(event['rawPath'][1:]))\n    return 1\n",
                         app="refuses", scale={"max": 1}, max_wait="0s")
    assert node.call("refuses/f/0.1").status_code == 200  # from here on it is known what a call takes
    with concurrent.futures.ThreadPoolExecutor(1) as pool, node.connect() as connection, connection.makefile("rb") as stream:
        long = pool.submit(node.call, "refuses/f/3")
        eventually(lambda: node.functions("refuses")["refuses/f"]["instances"]["busy"] == 1, "the long call")
        connection.sendall(b"POST /fn/refuses/f/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        status, headers, text = read_response(stream)
        assert status == 429 and b"max_wait (0" in text and not long.done(), (status, text)
        assert long.result().status_code == 200
        connection.sendall(b"POST /fn/refuses/f/3 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        eventually(lambda: node.functions("refuses")["refuses/f"]["instances"]["busy"] == 1, "the long call on the connection that was kept")
        with node.connect() as another, another.makefile("rb") as answer:
            another.sendall(b"POST /fn/refuses/f/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\nExpect: 100-continue\r\n\r\n")
            assert read_response(answer)[0] == 429, "nobody is asked for a body that nobody reads"
        assert read_response(stream)[0] == 200


def test_a_call_that_ends_its_instance_is_run_once_and_refused_ones_never(node):
    """Nothing of it is tried again behind the caller's back: with more calls than can be served that would multiply the load."""
    node.deploy_function(ENDS, app="ends", scale={"max": 2}, max_wait="500ms")
    answers = in_parallel(20, lambda n: node.call(f"ends/f/{n}"))
    assert {answer.status_code for answer in answers} <= {502, 429}, [answer.text for answer in answers]
    began = [line["text"] for line in node.logs("ends/f") if line["text"].startswith("began")]
    ended = [number for number, answer in enumerate(answers) if answer.status_code == 502]
    assert ended and sorted(began) == sorted(f"began /{number}" for number in ended)
    assert len(node.usage("ends/f")) == len(ended)


def test_first_calls_wait_for_the_start_whatever_max_wait_says(node):
    node.deploy_function(SLOW, app="first", scale={"max": 2}, max_wait="0s")
    answers = in_parallel(6, lambda n: node.call("first/f"))
    assert [answer.status_code for answer in answers] == [200] * 6, "nothing is known yet of how long they would wait"


@pytest.mark.slow  # the minute itself
def test_a_call_waits_for_an_instance_for_a_minute_and_no_longer(node):
    """With a function that refuses nobody for the time it would wait: who has waited a minute hears so, and nothing else is lost."""
    node.deploy_function("import time\ndef handler(event, context):\n    time.sleep(float(event['rawPath'].strip('/') or 0))\n    return 1\n",
                         app="patient", scale={"max": 1}, max_wait="0s", timeout="90s")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        at_work = pool.submit(node.call, "patient/f/66", timeout=90)
        eventually(lambda: node.usage("patient/f", settled=False), "that it is at work")
        begun = time.monotonic()
        late = pool.submit(node.call, "patient/f", timeout=90)
        answer = late.result()
        assert answer.status_code == 504 and 60 <= time.monotonic() - begun < 66, answer.text
        assert "instance" in answer.json()["error"]["message"], answer.text
        assert node.call("patient/f", timeout=90).status_code == 200, "who came after it had not waited so long"
        assert at_work.result().json() == 1
    records = {record["request_id"] for record in node.usage("patient/f")}
    assert len(records) == 2 and answer.headers["X-Ebb-Request-Id"] not in records, "who was not served pays nothing"


@pytest.mark.sanitized
def test_starts_that_hang_hold_up_no_other_app(node):
    """The hook runs in every start of the hostile app, in ever more of them than the node makes at a time."""
    node.deploy_function(HANGS, app="hangs", reuse="never", scale={"max": 20})
    node.deploy_function(QUICK, app="quick", reuse="never")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        hanging = [pool.submit(node.call, "hangs/f") for _ in range(12)]
        eventually(lambda: node.functions("hangs")["hangs/f"]["instances"]["starting"] == 12, "starts that hang")
        for _ in range(3):
            assert node.call("quick/f").status_code == 200
        assert not any(call.done() for call in hanging), "they hang, and others were served meanwhile"
        assert [call.result().status_code for call in hanging] == [200] * 12
