#!/usr/bin/env python3
"""Computes a bill again from raw usage records and says whether it comes out the same to the last digit.

    ebb usage vision --export --month 2026-11 > records.jsonl
    ebb bill --app vision --month 2026-11 --json > bill.json
    tools/recompute_bill.py records.jsonl bill.json

Written from the words of docs/reference/bill.md and sharing no code with Ebb, so that a mistake in the one shows against the other.
Prices are those that the bill states; whether they are the ones agreed upon is for the reader to see. Standard library only.
Ends with 0 when every figure is equal, with 1 and the differences when not, with 2 for what it cannot read.
"""

import argparse
import collections
import fractions
import json
import sys

Fraction = fractions.Fraction
UNBILLED = ("refused", "platform_fault")  # no record says `refused`: see docs/reference/usage-record.md
TIERS = ("zygote", "provisioned", "idle", "frozen", "active")


def half_up(value, places):
    """A fraction that is not negative, rounded half up, as a decimal with so many places."""
    scaled = (value * 10**places * 2 + 1) // 2
    digits = str(int(scaled)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


class Line:
    """What is added up for one line, or for a total: exact all the way."""

    def __init__(self):
        self.outcomes = collections.Counter()
        self.billed_ms = 0
        self.vcpu_seconds = self.gib_seconds = Fraction(0)
        self.cu_cpu = self.cu_memory = self.cu_calls = self.cu_sleeping = Fraction(0)
        self.held_ms, self.held_byte_ms = collections.Counter(), collections.Counter()

    def add(self, record, weights):
        if record["trigger"] == "held":
            self.add_held(record, weights)
            return
        self.outcomes[record["outcome"]] += 1
        if record["outcome"] in UNBILLED:
            return
        seconds = Fraction(record["billed_ms"], 1000)
        vcpu_seconds = Fraction(record["cpu_millis"], 1000) * seconds
        gib_seconds = Fraction(record["memory_limit_bytes"], 2**30) * seconds
        self.billed_ms += record["billed_ms"]
        self.vcpu_seconds += vcpu_seconds
        self.gib_seconds += gib_seconds
        self.cu_cpu += vcpu_seconds * Fraction(weights["vcpu_second"])
        self.cu_memory += gib_seconds * Fraction(weights["gib_second"])
        self.cu_calls += Fraction(weights["call"])

    def add_held(self, record, weights):
        """Nobody called: what zygotes and instances held. Billed are those that scale.min kept, by what they may use."""
        for tier in TIERS:
            self.held_ms[tier] += record["held_ms"][tier]
            self.held_byte_ms[tier] += int(record["held_byte_ms"][tier])
        seconds = Fraction(record["held_ms"]["provisioned"], 1000)
        self.cu_sleeping += Fraction(record["cpu_millis"], 1000) * seconds * Fraction(weights["sleeping_vcpu_second"])
        self.cu_sleeping += Fraction(record["memory_limit_bytes"], 2**30) * seconds * Fraction(weights["sleeping_gib_second"])

    @property
    def cu(self):
        return self.cu_cpu + self.cu_memory + self.cu_calls + self.cu_sleeping

    def shown(self, amount):
        billed = sum(count for outcome, count in self.outcomes.items() if outcome not in UNBILLED)
        return {"invocations": self.outcomes.total(), "billed_invocations": billed, "outcomes": dict(self.outcomes),
                "billed_ms": self.billed_ms, "vcpu_seconds": half_up(self.vcpu_seconds, 6),
                "gib_seconds": half_up(self.gib_seconds, 9), "cu_cpu": half_up(self.cu_cpu, 9),
                "cu_memory": half_up(self.cu_memory, 9), "cu_calls": half_up(self.cu_calls, 9),
                "cu_sleeping": half_up(self.cu_sleeping, 9), "cu": half_up(self.cu, 9), "amount": amount,
                "held": {tier: {"seconds": half_up(Fraction(self.held_ms[tier], 1000), 3),
                                "gib_seconds": half_up(Fraction(self.held_byte_ms[tier], 1000 * 2**30), 9)} for tier in TIERS}}


def parts(values):
    """Amounts that add up to the rounded sum: each is the rounded sum up to it less the rounded sum before it."""
    given, so_far, out = 0, Fraction(0), []
    for value in values:
        so_far += value
        up_to = (so_far * 10**6 * 2 + 1) // 2
        out.append(up_to - given)
        given = up_to
    return [half_up(Fraction(part, 10**6), 6) for part in out]


def tiers_of(prices, cu_by_list):
    """[(list, free, price, CU)] of a month's CU, poured in the order of the lists."""
    poured, at = [], Fraction(0)
    for number, price_list in enumerate(prices):
        if number not in cu_by_list:
            continue
        end = at + cu_by_list[number]
        free = Fraction(price_list["free"])
        bounds = [(free, True, "0")]
        bounds += [(free + Fraction(tier["up_to"]) if "up_to" in tier else None, False, tier["price"]) for tier in price_list["tiers"]]
        for bound, is_free, price in bounds:
            stop = end if bound is None else min(bound, end)
            if stop > at:
                poured.append((price_list["from"], is_free, price, stop - at))
                at = stop
    return poured


def list_on(prices, day):
    """The last price list whose day has come; days are "2026-11-01", "" is since ever."""
    return max(number for number, price_list in enumerate(prices) if number == 0 or price_list["from"] <= day)


LABELS = {
    "function": lambda record: (record["function"], record["function"]),
    "version": lambda record: ((record["function"], record["version"]), f'{record["function"]}:{record["version"]}' if record["version"] else record["function"]),
    "alias": lambda record: ((record["function"], record.get("alias", "")), ":".join(filter(None, (record["function"], record.get("alias", ""))))),
    "trigger": lambda record: (record["trigger"], record["trigger"]),
    "day": lambda record: (record["arrival"][:10], record["arrival"][:10]),
}


def recompute(records, month, by, prices):
    """The bill's "apps" and "amount"."""
    apps = {}
    for record in records:
        if record["state"] != "closed" or not record["arrival"].startswith(month):
            continue
        lines, total, cu_by_list = apps.setdefault(record["app"], ({}, Line(), collections.Counter()))
        number = list_on(prices, record["arrival"][:10])
        weights = prices[number]["cu"]
        key, label = LABELS[by](record)
        lines.setdefault(key, (label, Line()))[1].add(record, weights)
        before = total.cu
        total.add(record, weights)
        cu_by_list[number] += total.cu - before
    bill, whole = [], Fraction(0)
    for app, (lines, total, cu_by_list) in sorted(apps.items()):
        tiers = tiers_of(prices, cu_by_list)
        costs = [cu * Fraction(price) for _, _, price, cu in tiers]
        cost = sum(costs, Fraction(0))
        amount = half_up(cost, 6)
        whole += Fraction(amount)
        ordered = [line for _, line in sorted(lines.items())]
        shares = parts([line.cu / total.cu * cost if total.cu else Fraction(0) for _, line in ordered])
        bill.append({
            "app": app,
            "lines": [{"label": label, **line.shown(share)} for (label, line), share in zip(ordered, shares)],
            "tiers": [{"from": since, "free": free, "price": price, "cu": half_up(cu, 9), "amount": part}
                      for (since, free, price, cu), part in zip(tiers, parts(costs))],
            "total": total.shown(amount)})
    return bill, half_up(whole, 6)


def differences(ours, theirs, path="bill"):
    """Where two JSON values differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path} has {len(theirs)} entries, recomputed {len(ours)}"
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path} is {theirs}, recomputed {ours}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", help="what `ebb usage --export` wrote")
    parser.add_argument("bill", help="what `ebb bill --json` wrote")
    arguments = parser.parse_args()
    try:
        with open(arguments.bill, encoding="utf-8") as file:
            bill = json.load(file)
        with open(arguments.records, encoding="utf-8") as file:
            apps, amount = recompute((json.loads(line) for line in file), bill["month"], bill["by"], bill["prices"])
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot read the records or the bill: {error!r}", file=sys.stderr)
        return 2
    found = list(differences({"apps": apps, "amount": amount}, {"apps": bill["apps"], "amount": bill["amount"]}))
    for line in found:
        print(line)
    if found:
        return 1
    lines = sum(len(app["lines"]) for app in apps)
    calls = sum(app["total"]["invocations"] for app in apps)
    print(f"equal: {len(apps)} apps, {lines} lines, {calls} records, {amount} {bill['currency']}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
