"""Zygotes: who may be forked and who is started the slower way, hooks, rebuilding, and that no two copies draw the same numbers."""

import contextlib
import os
import signal

import pytest

from ebb_node import eventually, in_parallel, parse_json, server_timing

SOURCE = '''
import json, os, time, uuid
{init}
me = None

def handler(event, context):
    global me
    me = me or uuid.uuid4().hex
    return [me, {value}]
'''

UNFIT = {
    "thread": ("import threading\nthreading.Thread(target=time.sleep, args=(3600,), name='mine', daemon=True).start()", "threads", "'mine'"),
    "socket": ("import socket\nkept = socket.socket()", "socket", "descriptor"),
    "epoll": ("import select\nkept = select.epoll()", "eventpoll", "descriptor"),
    "pipe": ("kept = os.pipe()", "pipe", "descriptor"),
    "written": ("kept = open('/tmp/journal', 'w')", "/tmp/journal", "writing"),
    # It has its new name a moment after Popen returns.
    "child": ("import subprocess\nkept = subprocess.Popen(['/bin/sleep', '3600'])\n"
              "while open(f'/proc/{kept.pid}/comm').read() != 'sleep\\n':\n    time.sleep(0.001)", "child process", "sleep"),
    "shared": ("import mmap\nkept = mmap.mmap(-1, 4096)", "shared", "writable"),
    "timer": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 3600)", "timer", "ITIMER_REAL"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_cannot_be_forked_is_started_the_slower_way(node, kind):
    init, *words = UNFIT[kind]
    done = parse_json(node.deploy_function(SOURCE.format(init=init, value="1"), name=kind, app=f"unfit-{kind}").stdout)
    note = done["functions"][0]["note"]
    listed = node.functions(f"unfit-{kind}")[f"unfit-{kind}/{kind}"]
    assert listed["zygote"] == "unfit"
    said = " ".join(line["text"] for line in node.logs(f"unfit-{kind}/{kind}") if line["stream"] == "platform")
    for word in words:
        assert word in note and word in listed["zygote_note"] and word in said, (word, note)
    assert note in node.cli("ls", f"unfit-{kind}").stdout or listed["zygote_note"] in node.cli("ls", f"unfit-{kind}").stdout
    answers = in_parallel(4, lambda n: node.call(f"unfit-{kind}/{kind}"))
    assert all(answer.status_code == 200 for answer in answers), answers[0].text
    first = [answer for answer in answers if server_timing(answer)["start"]["desc"] != "idle"]
    assert first and all(server_timing(answer)["start"]["desc"] == "runtime" for answer in first)
    assert all(server_timing(answer)["init"]["dur"] > 0 for answer in first)
    node.cli("rm", f"unfit-{kind}", "--yes")


def test_what_may_be_forked(node):
    init = "kept = open('/etc/hostname' if os.path.exists('/etc/hostname') else '/etc/passwd')\nnull = open('/dev/null', 'w')\nimport threading\n" \
           "t = threading.Thread(target=print)\nt.start()\nt.join()\nimport subprocess\nsubprocess.run(['/bin/true'])"
    node.deploy_function(SOURCE.format(init=init, value="len(kept.read())"), app="fit")
    listed = node.functions("fit")["fit/f"]
    assert (listed["zygote"], listed["zygote_note"]) == ("ready", "")
    answers = in_parallel(4, lambda n: node.call("fit/f").json())
    assert len({tuple(answer) for answer in answers if answer[1] > 0}) == len({answer[0] for answer in answers})  # each its own position


HOOKS = '''
import ebb, os, uuid
state = []
here = []

@ebb.before_snapshot
def close():
    state.append("snapshot")
    print("closing")

@ebb.after_restore
def open_again():
    state.append("restore")
    here.append(uuid.uuid4().hex)
    print("opening")

def handler(event, context):
    return [state, here]
'''


def test_hooks_run_once_each_in_their_place(node):
    node.deploy_function(HOOKS, app="hooks")
    answers = [node.call("hooks/f").json() for _ in range(2)]
    assert answers[0] == answers[1] and answers[0][0] == ["snapshot", "restore"] and len(answers[0][1]) == 1
    lines = [line["text"] for line in node.logs("hooks/f")]
    assert lines.count("closing") == 1 and lines.count("opening") == 1


def test_failing_after_restore_hook_is_named(node):
    source = "import ebb, os\n@ebb.after_restore\ndef connect():\n    raise OSError('no database')\ndef handler(e, c):\n    return 1\n"
    node.deploy_function(source, app="restore")
    response = node.call("restore/f")
    assert response.status_code == 502 and "no database" in response.json()["error"]["message"]
    assert "after_restore" in response.json()["error"]["message"]
    eventually(lambda: not node.pids_in("instances", "restore"), "the end of instances that failed")


def test_dead_zygote_is_made_anew(node):
    node.deploy_function(SOURCE.format(init="print('imported')", value="1"), app="dead")
    before = node.call("dead/f").json()[0]
    for pid in node.pids_in("zygotes", "dead"):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not node.pids_in("instances", "dead"), "the end of its instances with it")
    answer = eventually(lambda: (got := node.call("dead/f")).status_code == 200 and got, "an answer")
    assert answer.json()[0] != before
    assert [line["text"] for line in node.logs("dead/f")].count("imported") == 2


def test_dead_runtime_is_made_anew(node):
    node.deploy_function(SOURCE.format(init="print('imported')", value="1"), app="rebooted")
    assert node.call("rebooted/f").status_code == 200
    for pid in node.pids_in("sandboxes", "rebooted"):
        with contextlib.suppress(ProcessLookupError):  # with its init the rest goes by itself
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: node.functions("rebooted")["rebooted/f"]["zygote"] == "absent", "the end of the zygote with its sandbox")
    answer = eventually(lambda: (got := node.call("rebooted/f")).status_code == 200 and got, "an answer")
    assert server_timing(answer)["start"]["desc"] == "boot"


def test_restart_of_the_daemon_rebuilds_zygotes(fresh_node):
    node = fresh_node
    node.deploy_function(SOURCE.format(init="print('imported')", value="1"), app="one")
    node.deploy_function(SOURCE.format(init="print('imported')", value="2"), app="two", scale={"min": 1})
    assert node.call("one/f").json()[1] == 1
    node.stop()
    node.start()
    eventually(lambda: all(one["zygote"] == "ready" for one in node.functions().values()), "the zygotes, without any call")
    assert [line["text"] for line in node.logs("one/f")].count("imported") == 2
    eventually(lambda: sum(node.functions("two")["two/f"]["instances"].values()) == 1, "the minimum of instances, without any call")
    answer = node.call("one/f")
    assert answer.json()[1] == 1 and server_timing(answer)["start"]["desc"] == "fork" and answer.headers["X-Ebb-Version"] == "1"
    assert len(node.usage("one")) == 2


def test_one_runtime_zygote_for_the_functions_of_an_app(node):
    node.deploy_app("def a(e, c):\n    return 1\ndef b(e, c):\n    return 2\n", {"a": {}, "b": {}}, app="shared")
    assert [node.call(f"shared/{name}").json() for name in "ab"] == [1, 2]
    assert len({group for group in node.groups().values() if group.startswith("app-shared/s")}) == 1
    assert len({group for pid, group in node.groups().items() if pid in node.pids_in("zygotes", "shared")}) == 2


# --- uniqueness ---

DRAWS = '''
import json, os, random, secrets, ssl, tempfile, uuid
{imports}
own = random.Random()

def draw():
    return {{"openssl": ssl.RAND_bytes(16).hex(), "random": random.random(), "own": own.getrandbits(64), "uuid4": uuid.uuid4().hex,
             "uuid1": uuid.uuid1().hex, "secrets": secrets.token_hex(16), "urandom": os.urandom(16).hex(),
             "temp": next(tempfile._get_candidate_names()), {more}}}

draw()  # before the snapshot: every generator is warm, and the same in each copy

def handler(event, context):
    drawn = [draw()]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(draw()).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        drawn.append(json.loads(pipe.read()))
    os.waitpid(pid, 0)
    return drawn
'''
LIBRARIES = """
import numpy
from cryptography.hazmat.primitives.asymmetric import ec
generator = numpy.random.default_rng()
legacy = numpy.random.RandomState()
"""
MORE = '"numpy": numpy.random.random(), "generator": generator.random(), "legacy": legacy.random_sample(), ' \
       '"wheel": ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value'
# A worker goes on with its instance's state of these, as under any Python: they do not watch for forks.
INHERITED = {"own", "numpy", "generator", "legacy", "temp"}


def assert_distinct(node, count):
    """Of so many instances: idle ones are retired at once, so that nearly every call makes one."""
    drawn = {}  # by instance, its first draw
    while len(drawn) < count:
        answers = [answer for _ in range(5) for answer in in_parallel(10, lambda n: node.call("unique/f"))]
        assert all(answer.status_code == 200 for answer in answers), next(a.text for a in answers if a.status_code != 200)
        instances = {record["request_id"]: record["instance"] for record in node.usage("unique", limit=100)}
        for answer in answers:
            drawn.setdefault(instances[answer.headers["X-Ebb-Request-Id"]], answer.json())
    for name in next(iter(drawn.values()))[0]:
        parents = [parent[name] for parent, _ in drawn.values()]
        assert len(set(parents)) == len(drawn), name
        if name not in INHERITED:
            assert len({both[name] for pair in drawn.values() for both in pair}) == 2 * len(drawn), name


def test_no_two_of_300_copies_draw_the_same(node):
    node.deploy_function(DRAWS.format(imports="", more=""), app="unique", idle_timeout="0s")
    assert_distinct(node, 300)
    node.cli("rm", "unique", "--yes")


@pytest.mark.slow
def test_no_two_of_1000_copies_draw_the_same_from_libraries_either(node):
    done = node.deploy_function(DRAWS.format(imports=LIBRARIES, more=MORE), app="unique", idle_timeout="0s",
                                requirements="numpy\ncryptography\n")
    assert parse_json(done.stdout)["functions"][0]["note"] == ""
    assert_distinct(node, 1000)
    node.cli("rm", "unique", "--yes")
