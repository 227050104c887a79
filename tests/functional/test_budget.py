"""Budgets: an app that has used what it may in a month is answered 429 and why, whatever ends and starts meanwhile; others go on."""

import decimal

import pytest
import requests

from ebb_node import Node, eventually, in_parallel, running

SOURCE = """
import time

def sleep(event, context):
    time.sleep(float(event["body"] or 0))
    return "done"

busy = other = sleep
"""
CALL = decimal.Decimal("0.0075")  # the fixed part of every call


@pytest.fixture(scope="module", autouse=True)
def apps(node):
    node.deploy_app(SOURCE, {"busy": {"memory": "128Mi", "cpu": 0.1, "scale": {"max": 8}}}, app="frugal")
    node.deploy_app(SOURCE, {"other": {}}, app="rich")
    yield


@pytest.fixture(autouse=True)
def unbounded(node):
    yield
    if budget(node):
        node.cli("budget", "rm", "frugal")


def budget(node, app="frugal"):
    return next((one for one in node.cli_json("budget", "ls")["budgets"] if one["app"] == app), None)


def used(node):
    return decimal.Decimal(budget(node)["cu_used"])


def close_at(node, more):
    """A budget of what has been used and so much more."""
    node.cli("budget", "set", "frugal", "1000000")
    limit = used(node) + decimal.Decimal(more)
    node.cli("budget", "set", "frugal", f"{limit:f}")
    return limit


@pytest.mark.sanitized
def test_what_is_spent_is_refused_until_it_is_raised_and_others_go_on(node):
    close_at(node, 4 * CALL)
    answers = [node.call("frugal/busy", data="0") for _ in range(8)]
    served = [answer for answer in answers if answer.status_code == 200]
    assert 3 <= len(served) <= 4, "four calls' fixed parts, less what their milliseconds cost"
    assert answers[len(served):] and {answer.status_code for answer in answers[len(served):]} == {429}
    refused = answers[-1]
    error = refused.json()["error"]
    assert error["code"] == "resource_exhausted" and "app frugal has used its budget of" in error["message"]
    assert "ebb budget set frugal" in error["message"]
    assert 0 < int(refused.headers["Retry-After"]) <= 31 * 86400
    assert budget(node)["state"] == "spent" and used(node) >= decimal.Decimal(budget(node)["cu_a_month"])
    assert node.call("rich/other", data="0").status_code == 200
    node.cli("budget", "set", "frugal", "1000000")
    assert node.call("frugal/busy", data="0").status_code == 200
    assert budget(node)["state"] == "open"


def test_at_most_what_is_under_way_goes_beyond_it(node):
    limit = close_at(node, 6 * CALL)
    answers = in_parallel(40, lambda n: node.call("frugal/busy", data="0.05"))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    one = CALL + decimal.Decimal("0.2") * decimal.Decimal("0.2")  # with up to 200 ms of a tenth of a processor and 128 MiB
    assert used(node) <= limit + 8 * one, "eight instances may be at work"
    assert node.call("frugal/busy", data="0").status_code == 429


def test_a_refused_call_costs_nothing_and_leaves_no_record(node):
    close_at(node, 0)
    before = len(node.usage("frugal/busy")), used(node)
    assert node.call("frugal/busy", data="0").status_code == 429
    assert (len(node.usage("frugal/busy")), used(node)) == before


def test_used_is_what_the_bill_says_also_after_a_kill(node):
    node.cli("budget", "set", "frugal", "1000000")
    in_parallel(20, lambda n: node.call("frugal/busy", data="0.01"))
    def billed():
        return sum(decimal.Decimal(line["cu"]) for app in node.cli_json("bill", "--app", "frugal")["apps"] for line in app["lines"])
    calls = sum(1 for _ in node.usage("frugal/busy"))
    assert abs(billed() - used(node)) <= decimal.Decimal(calls * 2) / 10**9
    limit = close_at(node, 2 * CALL)
    while node.call("frugal/busy", data="0").status_code == 200:
        pass
    node.kill_daemon()
    eventually(node.is_ready, "the next daemon", seconds=30)
    assert node.call("frugal/busy", data="0").status_code == 429, "a kill makes nothing free"
    assert abs(billed() - used(node)) <= decimal.Decimal(calls * 4) / 10**9
    assert decimal.Decimal(budget(node)["cu_a_month"]) == limit


def test_an_app_removed_and_deployed_again_has_the_same_budget(node):
    close_at(node, 0)
    node.cli("rm", "frugal", "--yes")
    node.deploy_app(SOURCE, {"busy": {"memory": "128Mi", "cpu": 0.1, "scale": {"max": 8}}}, app="frugal")
    assert node.call("frugal/busy", data="0").status_code == 429


def test_the_log_tells_of_eighty_percent_and_of_the_end(node):
    before = len(node.log_path.read_text())
    close_at(node, CALL)
    while node.call("frugal/busy", data="0").status_code == 200:
        pass
    told = "error budget_alert app=frugal percent=100"
    eventually(lambda: told in node.log_path.read_text()[before:], "the alert", evidence=lambda: node.log_path.read_text()[before:])


@pytest.mark.parametrize("wrong", ["-1", "much", "1e9", "99999999999", "0.0000000001", ""])
def test_absurd_budgets_are_refused(node, wrong):
    said = node.cli("budget", "set", "--", "frugal", wrong, expect=2)
    assert "budget of CU a month" in said.stderr, said.stderr
    assert budget(node) is None


def test_removing_what_is_not_there_says_so(node):
    assert "has no budget" in node.cli("budget", "rm", "nobody", expect=3).stderr


def test_only_an_administrator_sets_it_and_an_app_sees_its_own(node):
    close_at(node, 100)
    node.cli("budget", "set", "rich", "5")
    try:
        key = node.cli_json("key", "create", "--role", "deploy", "--app", "frugal")["key"]
        headers = {"Authorization": f"Bearer {key}"}
        listed = requests.get(node.url + "/api/v1/budgets", headers=headers, timeout=30).json()["budgets"]
        assert [one["app"] for one in listed] == ["frugal"]
        path = node.url + "/api/v1/apps/frugal/budget"
        assert requests.put(path, headers=headers, json={"cu_a_month": "9999"}, timeout=30).status_code == 403
        assert requests.delete(path, headers=headers, timeout=30).status_code == 403
    finally:
        node.cli("budget", "rm", "rich")


def test_an_organisations_budget_is_that_of_all_its_apps(node):
    def of_organisation():
        return next(one for one in node.cli_json("budget", "ls")["budgets"] if one["organisation"] == "budget-org")

    node.cli("org", "create", "budget-org")
    for app in ("joint-a", "joint-b"):
        node.deploy_app(SOURCE, {"busy": {"memory": "128Mi", "cpu": 0.1, "scale": {"max": 2}}}, app=app)
        node.cli("org", "move", app, "budget-org")
    assert node.call("joint-a/busy", data="0").status_code == 200
    node.cli("budget", "set", "--org", "budget-org", "1000000")
    limit = decimal.Decimal(of_organisation()["cu_used"]) + 4 * CALL
    node.cli("budget", "set", "--org", "budget-org", f"{limit:f}")
    answers = in_parallel(24, lambda number: node.call(f"joint-{'ab'[number % 2]}/busy", data="0"))
    served = sum(answer.status_code == 200 for answer in answers)
    assert 1 <= served <= 4 + 4, "four calls reach it, and no more than two instances of each app are at work then"
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {429}
    assert all("organisation budget-org has used its budget of" in answer.json()["error"]["message"] for answer in refused)
    assert of_organisation()["state"] == "spent"
    assert node.call("rich/other", data="0").status_code == 200
    node.cli("org", "move", "joint-b", "default")
    assert node.call("joint-b/busy", data="0").status_code == 200, "another's from the next call on"
    for app in ("joint-a", "joint-b"):
        node.cli("rm", app, "--yes")
    node.cli("org", "rm", "budget-org")
    assert not [one for one in node.cli_json("budget", "ls")["budgets"] if one["organisation"]]


def test_of_money():
    """By the tiers of the price file: the account is the bill's amount, whatever started and ended meanwhile."""
    with running(Node({"usage_held_interval": "10m"})) as node:
        node.deploy_app(SOURCE, {"busy": {"memory": "128Mi", "cpu": 0.1}}, app="frugal")
        refused = node.cli("budget", "set", "frugal", "--money", "1", expect=2)
        assert "price_file" in refused.stderr
        prices = node.directory / "prices.yaml"
        prices.write_text("currency: EUR\nprices: [{free: 0, tiers: [{up_to: 1, price: 0.5}, {price: 0.25}]}]\n")
        prices.chmod(0o644)
        node.config["price_file"] = str(prices)
        node.stop()
        node.start()
        node.cli("budget", "set", "frugal", "--money", "0.01")  # a call's fixed part costs 0.00375
        answers = [node.call("frugal/busy", data="0").status_code for _ in range(6)]
        assert answers[:2] == [200, 200] and answers[-1] == 429 and sorted(answers) == answers
        assert "its budget of 0.01 EUR" in node.call("frugal/busy", data="0").json()["error"]["message"]
        spent = budget(node)
        amount = decimal.Decimal(node.cli_json("bill")["amount"])
        assert spent["state"] == "spent" and spent["cu_a_month"] == "" and spent["money_a_month"] == "0.01"
        assert abs(decimal.Decimal(spent["money_used"]) - amount) <= decimal.Decimal("0.000001")
        node.stop()
        node.start()
        assert node.call("frugal/busy", data="0").status_code == 429
        node.cli("budget", "set", "frugal", "1000", "--money", "10")
        assert node.call("frugal/busy", data="0").status_code == 200
        shown = node.cli("budget", "ls").stdout
        assert "MONEY A MONTH" in shown and "EUR" in shown
