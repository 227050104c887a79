"""What a program that does not start printed last: its deployer reads it beside the error, its callers do not, and the log has all of it."""

import json
import shutil

import pytest

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

LAST_WORDS = 4096  # limits::kLastWordsBytes
RAISES = "import sys\nprint('looking for the table', flush=True)\nraise RuntimeError('no table name')\n"
SILENT = "import time\nprint('waiting for the table', flush=True)\ntime.sleep(600)\n"
SERVER = "import http.server, os\nclass Fine(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(204)\n" \
         "        self.end_headers()\nhttp.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Fine).serve_forever()\n"
WEB = {"runtime": "http", "command": "exec python3 server.py"}
LAMBDA = {"runtime": "lambda", "command": "exec python3 server.py"}
JS = {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}


def deploy(node, app, files, expect=None, json_output=False, **spec):
    manifest = {"app": app, "functions": {"f": {"memory": "128Mi", **spec}}}
    return node.deploy({"ebb.yaml": json.dumps(manifest), **files}, expect=expect, json_output=json_output)


def texts(node, app, stream=None):
    return [line["text"] for line in node.logs(f"{app}/f") if stream in (None, line["stream"])]


@pytest.mark.parametrize("app, files, spec, reason, words", [
    ("words-http", {"server.py": RAISES}, WEB, "ended with exit status 1", ["looking for the table", "Traceback", "RuntimeError: no table name"]),
    ("words-lambda", {"server.py": RAISES}, LAMBDA, "ended with exit status 1", ["looking for the table", "Traceback", "RuntimeError: no table name"]),
    pytest.param("words-node", {"index.js": "console.log('looking for the table');\nfunction open() { throw new Error('no table name'); }\nopen();\n"}, JS,
                 "index.js line 2: no table name", ["Error: no table name", "at open (/var/task/index.js:2"], marks=needs_node),
    pytest.param("words-abort", {"index.js": "console.error('looking for the table');\nprocess.abort();\n"}, JS,
                 "killed by signal 6", ["looking for the table"], marks=needs_node),
    pytest.param("words-hang", {"server.py": SILENT}, WEB, "does not accept connections", ["waiting for the table"], marks=pytest.mark.slow),
    pytest.param("words-mute", {"server.py": SILENT}, LAMBDA, "has not asked for an event", ["waiting for the table"], marks=pytest.mark.slow),
])
def test_a_deployment_tells_what_it_printed_last(node, app, files, spec, reason, words):
    done = deploy(node, app, files, **spec)
    assert done.returncode != 0 and reason in done.stderr, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert done.stderr.count(f"{reason}") == 1, "the reason is told once"
    logged = "\n".join(texts(node, app))
    assert reason in logged and "table" in logged, logged
    detail = json.loads(deploy(node, app, files, json_output=True, **spec).stdout.splitlines()[-1])["error"]["detail"]
    assert all(word in detail for word in words), detail


def test_what_it_printed_is_bounded_and_moves_no_cursor(node):
    source = "print('\\x1b[2J\\x1b[31mred', 'x' * 100_000)\nfor n in range(1000):\n    print('\\x1b]0;title\\x07 line', n)\nraise SystemExit(3)\n"
    done = deploy(node, "words-many", {"server.py": source}, **WEB)
    assert "ended with exit status 3" in done.stderr and "line 999\n" in done.stderr and "line 1\n" not in done.stderr, done.stderr[-500:]
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    detail = json.loads(deploy(node, "words-many", {"server.py": source}, json_output=True, **WEB).stdout.splitlines()[-1])["error"]["detail"]
    assert LAST_WORDS // 2 < len(detail.encode()) <= LAST_WORDS
    assert texts(node, "words-many", "out")[-1].endswith("line 999"), "the log has them too"


def test_they_are_the_last_ones_of_a_flood_too(node):
    """More than the log keeps of a start: neither a program's end nor that of a build is lost with the rest."""
    flood = "for n in range(40_000):\n    print('line', n, 'x' * 100)\n"
    done = deploy(node, "words-flood", {"server.py": flood + "raise RuntimeError('no table name')\n"}, **WEB)
    assert "ended with exit status 1" in done.stderr and "line 39999 " in done.stderr and "RuntimeError: no table name" in done.stderr, done.stderr[-500:]
    manifest = {"app": "words-build", "build": "python3 flood.py; echo no compiler here; exit 1", "functions": {"f": {"handler": "app.handler"}}}
    files = {"ebb.yaml": json.dumps(manifest), "flood.py": flood, "app.py": "def handler(event, context):\n    return 1\n"}
    done = node.deploy(files, expect=None)
    assert done.returncode != 0 and "no compiler here" in json.loads(done.stdout.splitlines()[-1])["error"]["detail"], done.stdout[-500:]


def test_callers_of_one_that_starts_no_more_are_told_why_and_not_what_it_printed(node):
    """It starts where a deployment tries it out, and not in an instance, where its parent is the first process."""
    source = "import os, sys\nif os.getppid() == 1:\n    print('the password is 1234', file=sys.stderr)\n    print('no end of line', end='')\n    sys.exit(5)\n" + SERVER
    deploy(node, "words-later", {"server.py": source}, expect=0, **WEB)
    answer = node.call("words-later/f")
    assert answer.status_code == 502 and "ended with exit status 5" in answer.json()["error"]["message"], answer.text
    assert "1234" not in answer.text and "no end" not in answer.text
    assert "the password is 1234" in texts(node, "words-later", "err") and "no end of line" in texts(node, "words-later", "out")
    assert any("ended with exit status 5" in text for text in texts(node, "words-later", "platform"))
    node.cli("rm", "words-later", "--yes")


@needs_node
def test_an_instance_that_ends_before_its_first_word_is_said_how(node):
    source = "if (process.pid === 1) {\n  console.log('no table name');\n  process.abort();\n}\nexports.handler = () => 'fine';\n"
    deploy(node, "words-none", {"index.js": source}, expect=0, **JS)
    answer = node.call("words-none/f")
    error = answer.json()["error"]
    assert answer.status_code == 502 and error["message"].startswith("init of words-none/f failed: words-none/f "), answer.text
    assert "killed by signal" in error["message"] or "exit status" in error["message"], answer.text
    assert "no table name" in texts(node, "words-none", "out")
    assert any(error["message"] in text for text in texts(node, "words-none", "platform"))
    node.cli("rm", "words-none", "--yes")


@needs_node
def test_callers_are_told_what_it_said_of_its_end_not_that_it_ended(node):
    """It says what failed and ends at once: whichever of the two the node hears of first."""
    source = "if (process.pid === 1) throw new Error('no table name');\nexports.handler = () => 'fine';\n"
    deploy(node, "words-said", {"index.js": source}, expect=0, **JS)
    told = set()
    for _ in range(5):
        answer = node.call("words-said/f")
        told.add((answer.status_code, answer.json()["error"]["message"]))
    node.cli("rm", "words-said", "--yes")
    assert len(told) == 1 and all(status == 502 and "no table name" in message for status, message in told), told
