"""Webhooks: what a receiver on the loopback gets of budgets' alerts, through failures of the receiver and of the node."""

import base64
import contextlib
import hmac
import http.server
import json
import subprocess
import threading
import time

import pytest
import requests

from ebb_node import BINARY, PATIENCE, Node, eventually, running

SECRET = base64.b64encode(bytes(range(32))).decode()
SOURCE = "def handler(event, context):\n    return 1\n"


class Receiver:
    """`answer`: a function of the number of the request that gives a status, or None to hang."""

    def __init__(self):
        self.got, self.taken = [], []
        self.answer = lambda number: 200
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    return  # the node has ended meanwhile
                outer.got.append((dict(self.headers), body))
                status = outer.answer(len(outer.got))
                if status is None:
                    outer.released.wait(60)
                    return
                if status == 200:
                    outer.taken.append((dict(self.headers), body))
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def is_genuine(headers, body, secret=SECRET):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret), signed, "sha256")).decode()
    return abs(time.time() - int(headers["webhook-timestamp"])) < 300 and expected == headers["webhook-signature"]


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


@contextlib.contextmanager
def telling(receiver, source, **config):
    """A node that tells the receiver what it has to."""
    one = Node({"webhook_url": receiver.url, **config})
    secret = one.directory / "webhook-secret"
    secret.write_text(f"whsec_{SECRET}\n")
    secret.chmod(0o644)  # the daemon's account reads it
    one.config["webhook_secret_file"] = str(secret)
    try:
        one.start()
        one.deploy_function(source)
        yield one
    finally:
        one.stop()
        one.remove()


@pytest.fixture
def node(receiver):
    with telling(receiver, SOURCE) as one:
        yield one


def close_budget(node, app="app"):
    """A budget that is used up at once."""
    node.cli("budget", "set", app, "0")


def metric(node, name):
    text = requests.get(node.url + "/metrics", headers={"Authorization": f"Bearer {node.key}"}, timeout=10).text
    return int(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def outbox(node, ending):
    return sorted(path.name for path in (node.data / "outbox").glob("*" + ending))


def test_alerts_at_eighty_percent_and_at_the_end_are_posted_signed_and_once(node, receiver):
    node.cli("budget", "set", "app", "0.016")  # a call is at least 0.0075
    node.call("app/f")
    node.call("app/f")
    eventually(lambda: len(receiver.taken) >= 1, "the first alert", evidence=node.serve_log)
    node.call("app/f")
    eventually(lambda: len(receiver.taken) >= 2 or b'"percent":100' in receiver.taken[0][1], "the alert of the end", evidence=node.serve_log)
    for headers, body in receiver.taken:
        assert is_genuine(headers, body) and headers["Content-Type"] == "application/json"
        event = json.loads(body)
        assert event["type"] == "budget.alert" and event["data"]["app"] == "app" and event["data"]["cu_a_month"] == "0.016"
        assert float(event["data"]["cu_used"]) >= 0.016 * event["data"]["percent"] / 100
    assert json.loads(receiver.taken[-1][1])["data"]["percent"] == 100
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == len(receiver.taken) == len(receiver.got)
    eventually(lambda: outbox(node, ".event") == [], "an empty outbox")
    assert SECRET not in node.serve_log()


@pytest.mark.parametrize("status", [500, 404, 307])
def test_what_the_receiver_does_not_take_comes_again_with_its_id(node, receiver, status):
    receiver.answer = lambda number: status if number <= 2 else 200
    close_budget(node)
    eventually(lambda: receiver.taken, "the delivery", seconds=20, evidence=node.serve_log)
    assert len(receiver.got) == 3 and len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert all(is_genuine(*one) for one in receiver.got)
    eventually(lambda: metric(node, "ebb_webhooks_delivered_total") == 1, "the count")
    assert f"it answered {status}" in node.serve_log()


def kill_daemon(node):
    node.kill_daemon()
    eventually(node.is_ready, "the next daemon", seconds=30)


def test_an_event_survives_sigkill_and_a_delivered_one_does_not_come_again(node, receiver):
    receiver.answer = lambda number: 503
    close_budget(node)
    eventually(lambda: receiver.got, "the first attempt")
    waiting = outbox(node, ".event")
    assert len(waiting) == 1
    # Without the budget nothing raises the alert anew: what comes after the kill comes from the disk.
    node.cli("budget", "rm", "app")
    kill_daemon(node)
    receiver.answer = lambda number: 200
    eventually(lambda: receiver.taken, "the delivery", seconds=20, evidence=node.serve_log)
    assert receiver.taken[0][0]["webhook-id"] + ".event" == waiting[0]
    eventually(lambda: outbox(node, ".sent") == [waiting[0].replace(".event", ".sent")], "the note of the delivery")
    close_budget(node)  # the same alert
    kill_daemon(node)
    node.deploy_function(SOURCE, app="other")
    close_budget(node, "other")
    eventually(lambda: len(receiver.taken) >= 2, "the other alert")
    assert [json.loads(body)["data"]["app"] for _, body in receiver.taken] == ["app", "other"]


def test_a_receiver_that_hangs_holds_up_neither_calls_nor_the_end(node, receiver):
    receiver.answer = lambda number: None
    node.deploy_function(SOURCE, app="other")
    close_budget(node)
    eventually(lambda: receiver.got, "the first attempt")
    assert [node.call("other/f").status_code for _ in range(20)] == [200] * 20
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 15 * PATIENCE


@pytest.mark.parametrize("config, text, said", [
    ({"webhook_url": "http://127.0.0.1:1/"}, None, "webhook_secret_file: is missing"),
    ({"webhook_secret_file": "/etc/secret"}, None, "webhook_url: is missing"),
    ({"webhook_url": "ftp://127.0.0.1/"}, f"whsec_{SECRET}", "webhook_url: "),
    ({"webhook_url": "http://127.0.0.1:1/"}, "whsec_c2hvcnQ=", "is no webhook secret"),
    ({"webhook_url": "http://127.0.0.1:1/"}, "", "is no webhook secret"),
])
def test_mistakes_in_the_configuration_are_named(tmp_path, config, text, said):
    if text is not None:
        (tmp_path / "secret").write_text(text)
        config = {**config, "webhook_secret_file": str(tmp_path / "secret")}
    file = tmp_path / "ebb.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in {"data_dir": "/tmp/never-made", "listen": "127.0.0.1:0", **config}.items()))
    done = subprocess.run([str(BINARY), "serve", "--config", str(file)], capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert done.returncode == 2
    assert said in done.stderr and "c2hvcnQ" not in done.stderr


# Usage records in batches.

WAITS = """
import time
def handler(event, context):
    time.sleep(float(event.get("body") or 0))
    return 1
"""


@pytest.fixture
def fed(receiver):
    with telling(receiver, WAITS, webhook_usage=True, usage_held_interval="1s") as one:
        yield one


def batches(receiver):
    """[(headers, event)] of what the receiver has taken."""
    found = [(headers, json.loads(body)) for headers, body in list(receiver.taken)]
    return [(headers, event) for headers, event in found if event["type"] == "usage.records"]


def posted(receiver):
    """{sequence: record}; a record that came twice must be the same."""
    records = {}
    for _, event in batches(receiver):
        for record in event["data"]["records"]:
            assert records.setdefault(record["sequence"], record) == record
    return records


def calls_in(records):
    return {record["request_id"]: record for record in records.values() if record["trigger"] != "held"}


def test_every_usage_record_is_posted_in_signed_batches(fed, receiver):
    for _ in range(20):
        assert fed.call("app/f").status_code == 200
    eventually(lambda: len(calls_in(posted(receiver))) == 20, "twenty records", evidence=fed.serve_log)
    eventually(lambda: any(record["trigger"] == "held" for record in posted(receiver).values()), "one of what was held")
    assert all(is_genuine(headers, body) for headers, body in receiver.taken)
    numbers = [event["data"]["batch"] for _, event in batches(receiver)]
    assert numbers == list(range(1, len(numbers) + 1))
    known = {record["request_id"]: record for record in fed.usage()}
    for request, record in calls_in(posted(receiver)).items():
        assert record.pop("sequence") > 0 and record.pop("organisation") == "default"
        assert record == known[request]
    assert metric(fed, "ebb_usage_feed_records_total") >= 20


def test_a_call_that_runs_long_holds_up_no_other_and_comes_later(fed, receiver):
    slow = threading.Thread(target=lambda: fed.call("app/f", data="6"))
    slow.start()
    eventually(lambda: any(record["state"] == "open" for record in fed.usage(settled=False)), "a call under way")
    for _ in range(5):
        fed.call("app/f")
    eventually(lambda: len(calls_in(posted(receiver))) == 5, "the records of the calls behind it", evidence=fed.serve_log)
    slow.join()
    eventually(lambda: len(calls_in(posted(receiver))) == 6, "the long one's", 20)
    late = max(calls_in(posted(receiver)).values(), key=lambda record: record["handler_ms"])
    assert late["sequence"] == min(record["sequence"] for record in calls_in(posted(receiver)).values())


def test_a_batch_is_the_same_until_it_is_taken_through_failures_and_kills(fed, receiver):
    receiver.answer = lambda number: 500
    for _ in range(3):
        fed.call("app/f")
    eventually(lambda: len(receiver.got) >= 2, "two attempts", 20, evidence=fed.serve_log)
    receiver.answer = lambda number: None  # it hangs
    hanging = len(receiver.got)
    eventually(lambda: len(receiver.got) > hanging, "one that hangs", 20)
    fed.kill_daemon()
    receiver.answer = lambda number: 200
    receiver.released.set()
    eventually(fed.is_ready, "the next daemon", 20)
    for _ in range(3):
        fed.call("app/f")
    eventually(lambda: len(calls_in(posted(receiver))) == 6, "all records", 20, evidence=fed.serve_log)
    first = [(headers["webhook-id"], body) for headers, body in receiver.got if headers["webhook-id"] == "usage.records.1"]
    assert len(first) >= 3 and len(set(first)) == 1
    assert len({headers["webhook-id"] for headers, _ in batches(receiver)}) == len(batches(receiver)), "taken once"
    assert "usage_not_delivered" in fed.serve_log()


def test_after_a_restart_it_goes_on_where_it_was(fed, receiver):
    fed.call("app/f")
    eventually(lambda: len(calls_in(posted(receiver))) == 1, "the first record")
    fed.stop()
    sequences = lambda some: [record["sequence"] for _, event in some for record in event["data"]["records"]]  # noqa: E731
    before = batches(receiver)
    fed.start()
    fed.call("app/f")
    eventually(lambda: len(calls_in(posted(receiver))) == 2, "the second", 20)
    after = batches(receiver)[len(before):]
    assert after and len(sequences(after)) == len(set(sequences(after)))
    assert set(sequences(before)) & set(sequences(after)) <= set(sequences(before[-1:])), "but for a batch whose answer the end cut off"


def test_usage_without_a_receiver_is_refused(tmp_path):
    config = tmp_path / "ebb.yaml"
    config.write_text(json.dumps({"data_dir": str(tmp_path), "webhook_usage": True}))
    done = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "needs a webhook_url" in done.stderr


# Receivers of organisations.

@contextlib.contextmanager
def receivers(count):
    some = [Receiver() for _ in range(count)]
    try:
        yield some
    finally:
        for one in some:
            one.close()


@contextlib.contextmanager
def shared():
    """A node without a receiver of its own that two organisations share: acme/shop and globex/mill."""
    one = Node({"usage_held_interval": "1s"})
    with running(one):
        for organisation, app in (("acme", "shop"), ("globex", "mill")):
            one.cli("org", "create", organisation)
            one.deploy_function(WAITS, app=app)
            one.cli("org", "move", app, organisation)
        yield one


def secret_of(node, *arguments):
    return node.cli("webhook", "set", *arguments).stdout.strip().removeprefix("whsec_")


def test_an_organisation_is_told_of_its_own_and_of_nothing_else():
    with receivers(2) as (acme, globex), shared() as node:
        node.call("shop/f")
        secret = secret_of(node, "acme", acme.url, "--usage")
        other = secret_of(node, "globex", globex.url, "--usage")
        assert len(base64.b64decode(secret)) == 32 and secret != other
        for _ in range(3):
            node.call("shop/f")
            node.call("mill/f")
        eventually(lambda: len(calls_in(posted(acme))) == 4 and len(calls_in(posted(globex))) == 3, "every record", 20, evidence=node.serve_log)
        eventually(lambda: any(one["function"] == "(runtimes)" for one in posted(acme).values()), "what its runtime zygote held")
        close_budget(node, "shop")
        node.cli("budget", "set", "--org", "acme", "0")
        eventually(lambda: len(acme.taken) - len(batches(acme)) == 2, "both alerts", 20, evidence=node.serve_log)
        for receiver, name, app, key, wrong in ((acme, "acme", "shop", secret, other), (globex, "globex", "mill", other, secret)):
            assert all(is_genuine(*one, key) and not is_genuine(*one, wrong) for one in receiver.taken)
            assert {(one["organisation"], one["app"]) for one in posted(receiver).values()} == {(name, app)}
        alerts = [json.loads(body)["data"] for _, body in acme.taken if json.loads(body)["type"] == "budget.alert"]
        assert {(one["app"], one["organisation"]) for one in alerts} == {("shop", ""), ("", "acme")}
        assert not [1 for _, body in globex.taken if json.loads(body)["type"] == "budget.alert"]
        metrics = node.metrics()
        assert metrics['ebb_webhooks_delivered_total{organisation="acme"}'] == 2 and metrics['ebb_webhooks_delivered_total{organisation="globex"}'] == 0
        for key in (secret, other):
            assert key not in node.serve_log() and key not in node.cli("webhook", "ls", "--json").stdout
            assert key.encode() not in b"".join(path.read_bytes() for path in node.data.rglob("*.db*"))


def test_the_operators_receiver_is_told_of_all(receiver):
    with receivers(1) as (acme,), telling(receiver, WAITS, webhook_usage=True) as node:
        node.cli("org", "create", "acme")
        node.deploy_function(WAITS, app="shop")
        node.cli("org", "move", "shop", "acme")
        secret = secret_of(node, "acme", acme.url, "--usage")
        node.call("app/f")
        node.call("shop/f")
        eventually(lambda: len(calls_in(posted(receiver))) == 2 and len(calls_in(posted(acme))) == 1, "records", 20, evidence=node.serve_log)
        close_budget(node, "shop")
        eventually(lambda: len(acme.taken) > len(batches(acme)) and len(receiver.taken) > len(batches(receiver)), "the alert at both", 20)
        assert all(is_genuine(*one) for one in receiver.taken) and all(is_genuine(*one, secret) for one in acme.taken)
        assert "ebb_webhooks_delivered_total" in node.metrics() and 'ebb_webhooks_delivered_total{organisation="acme"}' in node.metrics()


def test_one_that_hangs_holds_up_no_other_and_survives_a_kill_with_its_secret():
    with receivers(2) as (acme, globex), shared() as node:
        secret = secret_of(node, "acme", acme.url, "--usage")
        secret_of(node, "globex", globex.url, "--usage")
        acme.answer = lambda number: None
        node.call("shop/f")
        eventually(lambda: acme.got, "an attempt")
        node.call("mill/f")
        eventually(lambda: len(calls_in(posted(globex))) == 1, "the other's record", evidence=node.serve_log)
        close_budget(node, "shop")
        eventually(lambda: list((node.data / "webhooks/acme/outbox").glob("*.event")), "an alert that waits")
        node.kill_daemon()
        acme.answer = lambda number: 200
        acme.released.set()
        eventually(node.is_ready, "the next daemon", 30)
        eventually(lambda: len(calls_in(posted(acme))) == 1 and len(acme.taken) > len(batches(acme)), "what waited", 30, evidence=node.serve_log)
        assert all(is_genuine(*one, secret) for one in acme.taken)
        assert len({headers["webhook-id"] for headers, _ in batches(acme)}) == len(batches(acme)), "taken once"


def test_it_is_changed_at_once_and_removed_with_what_waits():
    with receivers(2) as (first, second), shared() as node:
        secret = secret_of(node, "acme", first.url)
        node.call("shop/f")
        first.answer = lambda number: 500
        close_budget(node, "shop")
        eventually(lambda: first.got, "an attempt")
        assert secret_of(node, "acme", second.url, "--usage") == "", "the secret stays"
        eventually(lambda: len(second.taken) - len(batches(second)) == 1 and len(calls_in(posted(second))) == 1,
                   "what waited, and the record, at the other", 30, evidence=node.serve_log)
        assert all(is_genuine(*one, secret) for one in second.taken)
        fresh = secret_of(node, "acme", second.url, "--new-secret")
        assert fresh not in ("", secret)
        node.cli("budget", "set", "--org", "acme", "0")
        eventually(lambda: len(second.taken) - len(batches(second)) == 2, "the next alert", 20, evidence=node.serve_log)
        assert is_genuine(*second.taken[-1], fresh)

        second.answer = lambda number: 500
        node.cli("budget", "set", "shop", "0.001")
        eventually(lambda: list((node.data / "webhooks/acme/outbox").glob("*.event")), "an alert that waits")
        node.cli("webhook", "rm", "acme")
        assert not (node.data / "webhooks/acme").exists() and node.cli_json("webhook", "ls")["webhooks"] == []
        assert not [name for name in node.metrics() if "acme" in name and name.startswith("ebb_webhooks")]
        assert "has no webhook" in node.cli("webhook", "rm", "acme", expect=None).stderr

        # With the organisation goes its receiver.
        secret_of(node, "globex", second.url)
        node.cli("rm", "--yes", "mill")
        node.cli("org", "rm", "globex")
        assert not (node.data / "webhooks/globex").exists() and node.cli_json("webhook", "ls")["webhooks"] == []


def test_who_may_set_one_and_what_is_none():
    with shared() as node:
        hook = "http://127.0.0.1:9/"
        secret_of(node, "acme", hook)
        key = {"EBB_KEY": node.cli("key", "create", "--role", "admin", "--org", "acme").stdout.strip()}
        other = {"EBB_KEY": node.cli("key", "create", "--role", "admin", "--org", "globex").stdout.strip()}
        reader = {"EBB_KEY": node.cli("key", "create", "--role", "read", "--org", "acme").stdout.strip()}
        assert node.cli_json("webhook", "ls", env=key)["webhooks"] == [{"organisation": "acme", "url": hook, "usage": False}]
        assert node.cli_json("webhook", "ls", env=other)["webhooks"] == []
        for words in (("set", "acme", hook), ("rm", "acme")):
            assert "whole node" in node.cli("webhook", *words, env=key, expect=None).stderr, "requests go out from the operator's network"
        assert node.cli("webhook", "ls", env=reader, expect=None).returncode != 0
        for organisation, url, said in (("none", hook, "no organisation"), ("acme", "ftp://x/", "URL"), ("acme", "http://" + "x" * 3000, "2048"),
                                        ("acme", "", "URL"), ("../acme", hook, "organisation")):
            done = node.cli("webhook", "set", organisation, url, expect=None)
            assert done.returncode != 0 and said in done.stderr, done.stderr
        assert not (node.data / "webhooks/none").exists() and node.cli_json("webhook", "ls")["webhooks"][0]["url"] == hook
