"""Capacity follows the calls: from zero, never above the maximum, and back; and work nobody waits for is ended."""

import concurrent.futures
import datetime
import os
import signal
import threading

import pytest

from ebb_node import await_frozen, eventually, in_parallel, server_timing

SOURCE = '''
import os, threading, time, uuid
print("imported")
me = None

def who():
    global me
    me = me or uuid.uuid4().hex
    return me

def burst(event, context):
    time.sleep(0.05)
    return [who(), event["rawPath"]]

reborn = small = brief = other = kept = burst

def stuck(event, context):
    print("began", flush=True)
    if event["rawPath"] == "/spin":
        while True:
            pass
    if event["rawPath"] == "/sleep":
        time.sleep(600)
    if event["rawPath"] == "/deaf":
        import signal
        for number in range(1, 32):
            if number not in (9, 19):
                signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass
    return [who(), event["rawPath"]]

single = patient = stuck
'''
FUNCTIONS = {
    "burst": {"scale": {"max": 20}},
    "reborn": {"scale": {"max": 20}},
    "small": {"scale": {"max": 3}},
    "brief": {"idle_timeout": "300ms"},
    "other": {"idle_timeout": "300ms"},
    "kept": {"scale": {"min": 2, "max": 5}, "idle_timeout": "300ms"},
    "stuck": {"timeout": "1s", "scale": {"max": 2}},
    "single": {"timeout": "10m", "scale": {"max": 1}},
    "patient": {"timeout": "10m"},
}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


def instances(node, function, app="app"):
    """How many a function has, in any state and version."""
    return sum(sum(one["instances"].values()) for one in node.cli_json("ls", app)["functions"] if one["function"] == function)


def imports(node, function):
    return sum(line["text"] == "imported" for line in node.logs(f"app/{function}"))


def burst_of(node, function, calls, most):
    """Calls at once; asserts that each got its own answer and that there never were more instances than allowed."""
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(instances(node, function))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answers = in_parallel(calls, lambda n: node.call(f"app/{function}/{n}"))
    finally:
        stop.set()
        watcher.join()
    for number, answer in enumerate(answers):
        assert answer.status_code == 200 and answer.json()[1] == f"/{number}", answer.text
    assert max(seen) <= most
    who = {answer.json()[0] for answer in answers}
    assert 1 <= len(who) <= most
    records = {record["request_id"]: record for record in node.usage(f"app/{function}")}
    assert len(records) == calls and set(records) == {answer.headers["X-Ebb-Request-Id"] for answer in answers}
    assert len({record["instance"] for record in records.values()}) == len(who)
    return answers


def test_hundred_first_calls_to_a_function_at_zero(node):
    assert instances(node, "burst") == 0
    answers = burst_of(node, "burst", 100, 20)
    rungs = [server_timing(answer)["start"]["desc"] for answer in answers]
    assert 1 <= rungs.count("fork") <= 20 and rungs.count("fork") + rungs.count("idle") == 100
    assert imports(node, "burst") == 1


def test_hundred_first_calls_boot_one_zygote(node):
    """Without a zygote they all need the same one: it is made once."""
    assert imports(node, "reborn") == 1
    for pid in node.pids_in("zygotes"):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: node.functions("app")["app/reborn"]["zygote"] == "absent", "the end of the zygote")
    answers = burst_of(node, "reborn", 100, 20)
    assert imports(node, "reborn") == 2
    rungs = {server_timing(answer)["start"]["desc"] for answer in answers}
    assert "runtime" in rungs and rungs <= {"runtime", "fork", "idle"}


@pytest.mark.skipif(os.cpu_count() > 4, reason="two load at a time for each processor: so many functions that some wait are too many")
def test_a_load_that_a_call_waits_for_goes_before_those_ahead_of_need(fresh_node):
    """After a restart all functions are loaded again; the one that is called need not wait for the others."""
    node = fresh_node
    names = [f"f{number:02}" for number in range(8 * os.cpu_count())]
    source = "import time\ntime.sleep(0.5)\ndef handler(event, context):\n    return 1\n"
    node.deploy_app(source + "".join(f"{name} = handler\n" for name in names), {name: {} for name in names})
    node.stop()
    node.start()
    assert node.call(f"app/{names[-1]}").status_code == 200
    states = [one["zygote"] for one in node.functions().values()]
    assert states.count("starting") >= len(names) // 3, f"the last one waited for the others: {states}"
    eventually(lambda: {one["zygote"] for one in node.functions().values()} == {"ready"}, "that nobody is forgotten", seconds=60)


def test_a_small_function_has_as_many_instances_as_it_may(node):
    """What each fork leaves in its zygote's cgroup (page tables, stacks) is not what the zygote may use itself: it would be killed, and all with it."""
    node.deploy_function("import time\ndef handler(event, context):\n    time.sleep(1)\n    return 1\n", app="tiny", memory="32Mi", scale={"max": 120})
    answers = in_parallel(120, lambda n: node.call("tiny/f"))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers if answer.status_code != 200][:3]
    records = node.usage("tiny/f")
    assert len({record["instance"] for record in records}) > 60, "many at a time"


def test_fifty_functions_at_zero_called_at_once(node):
    names = [f"f{number}" for number in range(50)]
    try:
        node.deploy_app(SOURCE + "".join(f"{name} = burst\n" for name in names), {name: {"idle_timeout": "300ms"} for name in names}, app="many")
        assert sum(instances(node, name, app="many") for name in names) == 0
        answers = in_parallel(50, lambda n: node.call(f"many/{names[n]}/{n}"))
        assert [answer.status_code for answer in answers] == [200] * 50, [answer.text for answer in answers if answer.status_code != 200][:3]
        assert [answer.json()[1] for answer in answers] == [f"/{number}" for number in range(50)]
        eventually(lambda: sum(instances(node, name, app="many") for name in names) == 0, "zero again", 30)
    finally:
        node.cli("rm", "many", "--yes")


def test_never_more_than_max(node):
    burst_of(node, "small", 24, 3)
    assert instances(node, "small") == 3


def test_idle_instances_are_retired_to_zero(node):
    burst_of(node, "brief", 6, 20)
    eventually(lambda: instances(node, "brief") == 0, "the end of idle instances")
    assert node.functions("app")["app/brief"]["zygote"] == "ready"
    assert server_timing(node.call("app/brief/again"))["start"]["desc"] == "fork"


def test_minimum_is_kept_and_made_up(node):
    eventually(lambda: instances(node, "kept") == 2, "the minimum without a call")
    assert server_timing(node.call("app/kept/first"))["start"]["desc"] in ("idle", "frozen")
    in_parallel(5, lambda n: node.call(f"app/kept/{n}"))
    eventually(lambda: instances(node, "kept") == 2, "the end of what exceeds the minimum")
    # Whatever retires an instance that idles as long has had its turn once `other` is at zero again: `kept` stays.
    node.call("app/other/x")
    eventually(lambda: instances(node, "other") == 0, "the end of the other function's instance")
    assert instances(node, "kept") == 2
    members = node.pids_in("instances")
    for pid in members:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: instances(node, "kept") == 2 and not members & node.pids(), "the minimum after its instances died")
    assert node.call("app/kept/after").status_code == 200


def window(hour, length):
    return {"from": f"0 {hour} * * *", "for": length, "min": 2}


def test_an_open_window_keeps_instances_and_a_closed_one_none(node):
    """Every hour of UTC opens a window of a day: one is always open. One of a minute that opened six hours ago is closed."""
    deploy = lambda windows: node.deploy_function(SOURCE + "handler = burst", app="hours", idle_timeout="300ms",  # noqa: E731
                                                  scale={"max": 5, "windows": windows})
    try:
        deploy([window("*", "24h")])
        eventually(lambda: instances(node, "f", app="hours") == 2, "the window's instances without a call")
        assert server_timing(node.call("hours/f/first"))["start"]["desc"] in ("idle", "frozen")
        in_parallel(5, lambda n: node.call(f"hours/f/{n}"))
        eventually(lambda: instances(node, "f", app="hours") == 2, "the end of what exceeds the window's minimum")
        deploy([window((datetime.datetime.now(datetime.timezone.utc).hour + 18) % 24, "1m")])
        eventually(lambda: instances(node, "f", app="hours") == 0, "the end of what the old version's window kept")
        assert node.call("hours/f/after").status_code == 200
        eventually(lambda: instances(node, "f", app="hours") == 0, "zero again")
    finally:
        node.cli("rm", "hours", "--yes")


@pytest.mark.parametrize("how", ["sleep", "spin", "deaf"])
def test_timeout_ends_the_invocation_not_the_node(node, how):
    response = node.call(f"app/stuck/{how}")
    assert response.status_code == 504
    error = response.json()["error"]
    assert error["code"] == "deadline_exceeded" and "1s" in error["message"]
    record, = node.usage(request=error["request_id"])
    assert record["outcome"] == "timed_out" and record["billed_ms"] >= 1000 and float(record["cu"]) > 0
    after = node.call("app/stuck/fine")
    assert after.status_code == 200
    assert [line["text"] for line in node.logs("app/stuck", request=error["request_id"]) if line["stream"] == "out"] == ["began"]


def test_timed_out_instance_is_gone(node):
    for _ in range(3):
        node.call("app/stuck/sleep")
    eventually(lambda: instances(node, "stuck") <= 1, "the end of instances that timed out")
    assert node.cli("invoke", "app/stuck", "--data", '{"rawPath": "/sleep"}', expect=9).stderr


def opened(node, function):
    return [record for record in node.usage(f"app/{function}", settled=False) if record["state"] == "open"]


def test_client_that_goes_away_cancels_its_work(node):
    with node.connect() as connection:
        connection.sendall(b"GET /fn/app/patient/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        record, = eventually(lambda: opened(node, "patient"), "the start of the invocation")
        assert instances(node, "patient") == 1
    eventually(lambda: instances(node, "patient") == 0, "the end of the instance")
    closed, = node.usage(request=record["request_id"])
    assert closed["outcome"] == "cancelled" and closed["billed_ms"] >= 1
    assert node.call("app/patient/fine").status_code == 200


def test_queued_client_that_goes_away_is_never_run(node):
    first = node.connect()
    first.sendall(b"GET /fn/app/single/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: opened(node, "single"), "the start of the invocation")
    queued = lambda: node.functions("app")["app/single"]["queued"]  # noqa: E731
    with node.connect() as second:
        second.sendall(b"GET /fn/app/single/second HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: queued() == 1, "the second call in the queue")
    eventually(lambda: queued() == 0, "the withdrawal of the second call")
    first.close()
    eventually(lambda: not opened(node, "single"), "the end of the first call")
    assert node.call("app/single/third").status_code == 200
    began = [line for line in node.logs("app/single") if line["text"] == "began"]
    assert len(began) == 2  # the first and the third


@pytest.mark.parametrize("fresh_node", [{"max_instances": 1}], indirect=True)
def test_node_that_is_full_says_when_to_come_again(fresh_node):
    node = fresh_node
    node.deploy_app(SOURCE, {"patient": {"timeout": "10m"}, "burst": {}})
    with node.connect() as connection:
        connection.sendall(b"GET /fn/app/patient/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: opened(node, "patient"), "the start of the invocation")
        response = node.call("app/burst")
        assert response.status_code == 429 and response.json()["error"]["code"] == "resource_exhausted"
        assert int(response.headers["Retry-After"]) >= 1
    eventually(lambda: node.call("app/burst").status_code == 200, "room for the other function")


HUNGRY = '''
import time
held = []
def handler(event, context):
    megabytes, _, seconds = event["rawPath"][1:].partition("/")
    block = bytearray(int(megabytes) << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
    held.append(block)
    print("held", flush=True)
    time.sleep(float(seconds or 0))
    return len(held)
hungry = other = handler
'''


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_node_without_memory_refuses_to_start_more(fresh_node):
    """What is in use counts, not what the limits would allow; what runs goes on, what is idle gives way."""
    node = fresh_node
    node.deploy_app(HUNGRY, {"hungry": {"memory": "1Gi", "scale": {"max": 1}}, "other": {"memory": "1Gi", "idle_timeout": "0s"}})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        at_work = pool.submit(node.call, "app/hungry/550/9")
        eventually(lambda: "held" in node.cli("logs", "app/hungry").stdout, "that its memory is taken")
        response = node.call("app/other/1")
        assert response.status_code == 429 and "memory_budget" in response.json()["error"]["message"], response.text
        assert at_work.result().json() == 1
    assert node.call("app/other/1").status_code == 200
    assert node.functions()["app/hungry"]["zygote"] == "absent"
    assert node.call("app/hungry/1").json() == 1, "an instance of a new zygote"


SPINS = "import threading\n" + HUNGRY + """
def spin():
    while True:
        pass
def spinning(event, context):
    threading.Thread(target=spin, daemon=True).start()
    return handler(event, context)
"""


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi", "freeze_after": "100ms"}], indirect=True)
def test_a_frozen_instance_gives_its_memory_to_a_start(fresh_node):
    """Of another app, and long before its idle timeout. Frozen: its thread uses no processor any more."""
    node = fresh_node
    node.deploy_app(SPINS, {"spinning": {"memory": "1Gi", "idle_timeout": "10m"}}, app="keeps")
    node.deploy_app(HUNGRY, {"hungry": {"memory": "1Gi", "idle_timeout": "0s"}}, app="wants")
    assert node.call("wants/hungry/120").json() == 1
    node.usage("wants/hungry", limit=1)  # recorded: from here on it is known what an instance uses
    assert node.call("keeps/spinning/440").json() == 1
    instance = node.pids_in("instances", "keeps")
    assert instance
    await_frozen(instance)
    assert node.call("wants/hungry/20").json() == 1
    assert not node.pids_in("instances", "keeps")
    assert node.call("keeps/spinning/20").json() == 1, "a new instance: what the frozen one held is gone"


GROWS = """
import time
held = []
def grows(event, context):
    for _ in range(int(event["body"]) // 10):
        held.append(b"x" * (10 << 20))
        time.sleep(0.05)
    return sum(map(len, held)) >> 20
"""


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi", "freeze_after": "100ms"}], indirect=True)
def test_what_is_idle_gives_its_memory_to_a_call_that_grows(fresh_node):
    """Nothing is started meanwhile: of 600 MiB a frozen instance holds 200, and a call at work comes to hold 460. It is the largest, so the
    kernel would end it and not what is idle."""
    node = fresh_node
    node.deploy_app(SPINS, {"spinning": {"memory": "1Gi", "idle_timeout": "10m"}}, app="keeps")
    node.deploy_app(GROWS, {"grows": {"memory": "1Gi", "idle_timeout": "10m"}}, app="wants")
    assert node.call("wants/grows", json=200).json() == 200
    assert node.call("keeps/spinning/200").json() == 1
    idle = node.pids_in("instances", "keeps")
    assert idle
    await_frozen(idle)
    answer = node.call("wants/grows", json=260)
    assert answer.status_code == 200 and answer.json() == 460, answer.text
    assert not node.pids_in("instances", "keeps")
    assert node.call("wants/grows", json=10).json() == 470, "it was never ended"


RESERVED = HUNGRY + "keeper = greedy = handler\n"


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_reserved_room_is_left_by_others(fresh_node):
    """90 % of 600 MiB can be given away; `keeper` has reserved 256 of that, so `greedy` gets not what it would like."""
    node = fresh_node
    node.deploy_app(RESERVED, {"keeper": {"memory": "128Mi", "scale": {"max": 2, "reserve": 2}, "idle_timeout": "0s"},
                               "greedy": {"memory": "256Mi", "scale": {"max": 8}, "idle_timeout": "0s", "max_wait": "0s"}})
    assert node.call("app/greedy/100").status_code == 200
    node.usage("app/greedy", limit=1)  # recorded: from here on it is known what an instance uses
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        began = lambda: sum("held" in line["text"] for line in node.logs("app/greedy"))  # noqa: E731
        calls = [pool.submit(node.call, "app/greedy/100/8") for _ in range(6)]
        eventually(lambda: any(call.done() for call in calls) and began() > 1, "that some run and some were refused")
        kept = in_parallel(2, lambda n: node.call("app/keeper/100/1"))
        assert [answer.status_code for answer in kept] == [200, 200], [answer.text for answer in kept]
        answers = [call.result() for call in calls]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and len(refused) < 6 and all("scale.reserve" in answer.text for answer in refused), [answer.text for answer in answers]


SHARED = HUNGRY + "left = right = greedy = handler\n"
BRIEF = {"memory": "128Mi", "idle_timeout": "0s"}


@pytest.mark.parametrize("fresh_node", [{"max_instances": 6}], indirect=True)
def test_room_that_an_app_reserved_is_for_whichever_of_its_functions(fresh_node):
    node = fresh_node
    node.deploy_app(SHARED, {"left": BRIEF, "right": BRIEF}, app="house", reserve=2)
    node.deploy_app(SHARED, {"greedy": {**BRIEF, "scale": {"max": 8}}}, app="wild")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(node.call, "wild/greedy/1/6") for _ in range(8)]
        held = lambda: sum("held" in line["text"] for line in node.logs("wild/greedy"))  # noqa: E731
        eventually(lambda: held() == 4 and "of which others reserve 2" in node.serve_log(), "that four run and more are not started")
        for functions in (("left", "left"), ("right", "right"), ("left", "right")):
            kept = in_parallel(2, lambda n: node.call(f"house/{functions[n]}/1/0.3"))
            assert [answer.status_code for answer in kept] == [200, 200], [answer.text for answer in kept]
        assert held() == 4, "that was while they ran"
        assert {call.result().status_code for call in calls} == {200}, "the others have waited for them"


def test_an_app_has_no_more_instances_than_it_may(node):
    node.deploy_app(SHARED, {"left": {"memory": "128Mi"}, "right": {"memory": "128Mi"}}, app="few", max_instances=2, reserve=1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(node.call, "few/left/1/4") for _ in range(2)]
        eventually(lambda: sum("held" in line["text"] for line in node.logs("few/left")) == 2, "that two run")
        refused = node.call("few/right/1")
        assert refused.status_code == 429 and "max_instances" in refused.json()["error"]["message"], refused.text
        listed = node.cli_json("ls", "few")["apps"]
        assert listed == [{"app": "few", "instances": 2, "reserve": 1, "max_instances": 2}]
        assert node.cli("ls", "few").stdout.splitlines()[-1].split() == ["few", "2", "1", "2"]
        assert [call.result().status_code for call in calls] == [200, 200]
    assert node.call("few/right/1").status_code == 200, "one that idles makes room"
    assert instances(node, "left", app="few") + instances(node, "right", app="few") <= 2
    node.deploy_app(SHARED, {"left": {"memory": "128Mi"}, "right": {"memory": "128Mi"}}, app="few")
    assert all(one["reserve"] == 0 and "max_instances" not in one for one in node.cli_json("ls", "few")["apps"])
    answers = in_parallel(4, lambda n: node.call("few/left/1/0.5"))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_what_the_next_instances_need_is_known_after_one_call(fresh_node):
    """The instance that was called stays: what it took is known all the same, and not all others are begun at once."""
    node = fresh_node
    node.deploy_app(HUNGRY, {"hungry": {"memory": "256Mi", "scale": {"max": 8}, "max_wait": "0s"}})
    assert node.call("app/hungry/100").json() == 1
    assert node.usage("app/hungry", limit=1)[0]["memory_peak_bytes"] > 100 << 20
    answers = in_parallel(7, lambda n: node.call("app/hungry/90/3"))
    ended = [answer.text for answer in answers if answer.status_code not in (200, 429)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert not ended and refused and len(refused) < 6, [answer.text for answer in answers]


WILD = HUNGRY + """
import signal
told = []
def at_once(event, context):
    if event["rawPath"].endswith("/told"):
        signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
        print("waits", flush=True)
        while not told:
            time.sleep(0.02)
    return handler({"rawPath": event["rawPath"].removesuffix("/told")}, context)
"""


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_an_estimate_that_was_far_too_low_costs_nobody_but_its_own(fresh_node):
    """Instances were small, then all at once need three times what the budget has: what does not fit ends, the node and another app's work go on,
    and from then on no more are begun than fit. They take their memory when all have begun, however long that takes: one that has it when
    another begins would be seen, and nothing be wrong with the estimate."""
    node = fresh_node
    node.deploy_function(HUNGRY, app="steady", memory="128Mi", timeout="5m")
    node.deploy_app(WILD, {"at-once": {"memory": "512Mi", "scale": {"max": 12}, "idle_timeout": "0s", "max_wait": "0s", "timeout": "5m"}}, app="wild")
    for _ in range(5):
        assert node.call("wild/at-once/1").status_code == 200
    node.usage("wild/at-once", limit=1)  # recorded: it is believed now that an instance uses little
    with concurrent.futures.ThreadPoolExecutor(13) as pool:
        steady = pool.submit(node.call, "steady/f/20/15")
        eventually(lambda: any("held" in line["text"] for line in node.logs("steady/f")), "the other app's work")
        calls = [pool.submit(node.call, "wild/at-once/150/5/told") for _ in range(12)]
        eventually(lambda: sum("waits" in line["text"] for line in node.logs("wild/at-once")) == 12, "that all have begun", seconds=30)
        first, *others = node.pids_in("instances", "wild")
        os.kill(first, signal.SIGUSR1)  # alone: what one needs is then seen, however little the others have when they end
        eventually(lambda: sum("held" in line["text"] for line in node.logs("wild/at-once")) == 6, "that one has it all", seconds=30)
        for pid in others:
            os.kill(pid, signal.SIGUSR1)
        answers = [call.result() for call in calls]
        assert {answer.status_code for answer in answers} <= {200, 502}, [answer.text for answer in answers]
        ended = [answer for answer in answers if answer.status_code == 502]
        assert ended, "they were begun by an estimate that was wrong"
        for answer in ended:
            record, = node.usage(request=answer.headers["X-Ebb-Request-Id"])
            assert record["state"] == "closed" and record["outcome"] == "platform_fault" and not record["billed"], (record, answer.text)
        eventually(lambda: instances(node, "at-once", app="wild") == 0, "the end of what was wrong")
        again = in_parallel(12, lambda n: node.call("wild/at-once/90/6"))
        assert {answer.status_code for answer in again} == {200, 429}, [answer.text for answer in again]
        assert steady.result().status_code == 200, steady.result().text


def test_more_than_the_node_has_cannot_be_reserved(node):
    refused = node.deploy_function(SOURCE + "handler = burst", app="hoarder", memory="4Gi", scale={"max": 50, "reserve": 50}, expect=2)
    assert "scale.reserve" in refused.stderr and "memory_budget" in refused.stderr
    functions = {name: {"memory": size, "scale": {"max": 50}} for name, size in (("burst", "4Gi"), ("small", "128Mi"))}
    refused = node.deploy_app(SOURCE, functions, app="hoarder", reserve=50, expect=2)
    assert "reserve: with what" in refused.stderr and "200Gi of memory" in refused.stderr, refused.stderr


MODELS = "MODEL = bytearray(170 << 20)\nMODEL[::4096] = b'x' * (len(MODEL) // 4096)\ndef handler(event, context):\n    return len(MODEL)\none = two = three = four = handler\n"


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_functions_that_do_not_fit_together_take_turns(fresh_node):
    node = fresh_node
    names = ("one", "two", "three", "four")
    node.deploy_app(MODELS, {name: {"memory": "300Mi"} for name in names})
    ready = lambda: {name for name in names if node.functions()[f"app/{name}"]["zygote"] == "ready"}  # noqa: E731
    for _ in range(2):
        for name in names:
            assert node.call(f"app/{name}").text == str(170 << 20), name
            assert name in ready() and len(ready()) <= 3


WORKERS = """
MODEL = bytearray(150 << 20)
MODEL[::4096] = b'x' * (len(MODEL) // 4096)
def handler(event, context):
    block = bytearray(120 << 20)
    block[::4096] = b'x' * (len(block) // 4096)
    return len(block)
one = two = three = handler
"""


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "630Mi"}], indirect=True)
def test_functions_called_at_once_that_leave_each_other_no_room_take_turns(fresh_node):
    """Three zygotes fit, and beside them no instance of any: nobody is idle, and one has to give way all the same."""
    node = fresh_node
    names = ("one", "two", "three")
    node.deploy_app(WORKERS, {name: {"memory": "400Mi", "idle_timeout": "0s"} for name in names})
    for name in names:
        assert node.call(f"app/{name}").text == str(120 << 20), "from here on it is known what an instance uses"
    for _ in range(3):
        answers = in_parallel(len(names), lambda n: node.call(f"app/{names[n]}"))
        assert [answer.status_code for answer in answers] == [200, 200, 200], [answer.text for answer in answers]


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "600Mi"}], indirect=True)
def test_the_function_that_is_called_more_stays(fresh_node):
    node = fresh_node
    node.deploy_app(MODELS, {name: {"memory": "300Mi", "idle_timeout": "0s"} for name in ("one", "two", "three")})
    for name in ("one", "two"):
        assert node.call(f"app/{name}").status_code == 200
    for _ in range(30):
        assert node.call("app/one").status_code == 200
    assert node.call("app/three").status_code == 200
    assert node.functions()["app/one"]["zygote"] == "ready" and node.functions()["app/two"]["zygote"] == "absent"


@pytest.mark.parametrize("fresh_node", [{"keep_alive_price": 1}], indirect=True)
def test_with_a_price_a_zygote_is_let_go_between_calls(fresh_node):
    node = fresh_node
    node.deploy_function("def handler(event, context):\n    return 'here'\n", idle_timeout="0s")
    state = lambda: node.functions()["app/f"]["zygote"]  # noqa: E731
    for _ in range(2):
        assert node.call("app/f").text == "here" and state() == "ready"
        eventually(lambda: state() == "absent" and not node.pids_in("zygotes"), "that the zygote is let go", 60)
