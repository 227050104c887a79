"""Peers in one run: other platforms' programs and Ebb, each with the same hello and the same 50 ms of CPU.

In rounds, the order turning; within a round each server is started, measured alone and ended, Ebb's node like the others.
Peak: wrk, one thread, 16 connections (one call after the other for what serves one at a time). Latency: open_loop at fixed rates, the same for all that carry them. CPU: what all
processes of the server spent (/proc/PID/stat) while wrk ran, by answer; the generator is not in it. From zero: a request
that starts a process (Ebb's fork, of-watchdog's), or from starting the server to its first answer.
"""

import ctypes
import hashlib
import json
import os
import subprocess
import time

import burn
import cold
import figures
import processes
import servers
import warm

BURN_MS = 50
HELLO_RATES = (50, 500, 2000, 5000)
BURN_RATES = (5, 20)
FROM_ZERO_CALLS = 40
REST_SECONDS = 0.02
FEW_CONNECTIONS = 2 * servers.PROCESSES  # for slow calls: those that wait when wrk ends are worked off unanswered
DRAIN_SECONDS = 20
EBB = ("ebb python", "ebb native")
WORKERD = ("workerd", "workerd x2")  # judged: one process, as workerd runs; shown beside: two that share the port
_CLONE_NEWNET = 0x40000000


def calibrated():
    """How many rounds of burn.py take 50 ms here: the quickest of some looks, since others run beside."""
    rounds, best = 16, float("inf")
    for _ in range(20):
        started = time.thread_time()
        burn.burn(rounds)
        best = min(best, time.thread_time() - started)
    return max(1, round(rounds * BURN_MS / 1000 / best))


def enter_loopback():
    """A network namespace for this process and all that it starts: some peers listen on every address and on fixed ports."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def check_answers(server, rounds):
    """The same answers as Python gives here, or the comparison means nothing."""
    expected = {"hello": {"message": "hello, world"}, "burn": {"digest": hashlib.sha256(bytes(rounds << 20)).hexdigest()}}
    for function in server.functions:
        got = json.loads(server.call(function, rounds)[2])
        if got != expected[function]:
            raise RuntimeError(f"{server.name} answers {got!r} for {function}")


def settled_pss(server):
    time.sleep(1)
    return round(processes.pss_mb(server.pids()), 1)


def from_zero(server, function_path, body):
    """Milliseconds of calls one after the other, each of which starts a process."""
    connection = cold.Connection(f"http://127.0.0.1:{server.port}")
    request, taken = connection.request_of(function_path, body), []
    try:
        for _ in range(FROM_ZERO_CALLS):
            seconds, head, _ = connection.exchange(request)
            if server.name in EBB and cold.phases_of(head)[1] != "fork":
                raise RuntimeError(f"{server.name}: a call from zero was no fork of the function zygote")
            taken.append(seconds * 1000)
            time.sleep(REST_SECONDS)
    finally:
        connection.close()
    return taken


def is_slow(server, function):
    return function == "burn" or server.each_from_zero


def load(server, function, rounds, seconds):
    """(answers, answers per second) under as much load as it takes."""
    path, body = server.path(function, rounds), server.body_of(function, rounds)
    if server.connections > 1:
        connections = FEW_CONNECTIONS if is_slow(server, function) else server.connections
        return warm.wrk(server.port, path, seconds, connections, body)
    # wrk ends by dropping a call under way, and what serves one call at a time may not survive that.
    connection = cold.Connection(f"http://127.0.0.1:{server.port}")
    request, answers, started = connection.request_of(path, body), 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        connection.exchange(request)
        answers += 1
    connection.close()
    return answers, answers / taken


def drain(server):
    """Until it is idle: calls that wrk dropped at its end are still worked off."""
    limit = time.monotonic() + DRAIN_SECONDS
    before = processes.cpu(server.pids())
    while time.monotonic() < limit:
        time.sleep(0.2)
        now = processes.cpu(server.pids())
        if sum(sum(by_mode.values()) for by_mode in processes.cpu_between(before, now, str).values()) < 0.02:
            return
        before = now
    raise RuntimeError(f"{server.name} is still busy {DRAIN_SECONDS} s after the last call")


def peak(server, function, rounds, seconds):
    """Requests/s, and CPU microseconds an answer by kind of process."""
    before = processes.cpu(server.pids())
    answers, rate = load(server, function, rounds, seconds)
    spent = processes.cpu_between(before, processes.cpu(server.pids()), server.label)
    cpu = {kind: {mode: 1e6 * value / max(1, answers) for mode, value in by_mode.items()} for kind, by_mode in spent.items()}
    return rate, {kind: by_mode for kind, by_mode in cpu.items() if sum(by_mode.values()) > 0}


def one_round(server, generator, rounds, peak_seconds, rate_seconds, samples):
    started = server.start()
    try:
        if started is not None:
            samples["start_ms"].append(started * 1000)
        check_answers(server, rounds)
        load(server, "hello", rounds, 1)  # warm up
        drain(server)
        samples["idle_pss_mb"].append(settled_pss(server))
        if server.zero:
            samples["from_zero_ms"] += from_zero(server, server.zero, server.body_of("hello", rounds))
        for function in server.functions:
            rate, cpu = peak(server, function, rounds, max(peak_seconds, 3) if is_slow(server, function) else peak_seconds)
            drain(server)
            one = samples["functions"].setdefault(function, {"peak": [], "cpu_us": [], "at_rate": {}})
            one["peak"].append(rate)
            one["cpu_us"].append(cpu)
            for wanted in HELLO_RATES if function == "hello" else BURN_RATES:
                if wanted > 0.8 * rate:
                    break
                seconds = max(rate_seconds, 2) if is_slow(server, function) else rate_seconds
                one["at_rate"].setdefault(str(wanted), []).append(warm.at_rate(
                    generator, server.port, server.path(function, rounds), wanted, seconds, None, server.connections,
                    server.body_of(function, rounds)))
    finally:
        server.stop()


def _medians_of_cpu(all_):
    """{"total": us, "kinds": {"daemon": {"user", "system"}}}: the round whose total is the median."""
    totals = sorted(((sum(sum(by_mode.values()) for by_mode in cpu.values()), number) for number, cpu in enumerate(all_)))
    total, number = totals[(len(totals) - 1) // 2]
    return {"total": round(total, 1), "kinds": {kind: {mode: round(value, 1) for mode, value in by_mode.items()}
                                               for kind, by_mode in sorted(all_[number].items())}}


def _summed_up(server, samples):
    """Of the latencies the median of the rounds: a round that another process spoilt does not decide."""
    functions = {}
    for function, one in samples["functions"].items():
        cpu = _medians_of_cpu(one["cpu_us"])
        functions[function] = {
            "peak_rounds": [round(rate, 1) for rate in one["peak"]], "peak": round(figures.median(one["peak"]), 1),
            "cpu_us": cpu, "per_cpu_second": round(1e6 / cpu["total"], 1) if cpu["total"] else None,
            "at_rate_ms": {rate: {"rounds": len(all_), "n": sum(each["n"] for each in all_), "errors": sum(each["errors"] for each in all_),
                                  **{p: round(figures.median([each[p] for each in all_]), 3) for p in ("p50", "p99")}}
                           for rate, all_ in one["at_rate"].items()}}
    result = {"version": server.program["version"], "commands": server.commands, "note": server.note, "connections": server.connections,
              "idle_pss_mb": figures.median(samples["idle_pss_mb"]), "functions": functions}
    for name in ("start_ms", "from_zero_ms"):
        if samples[name]:
            result[name] = figures.summary(samples[name])
    return result


def measure(binary, generator, out, rounds, peak_seconds, rate_seconds, only=None):
    version = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    all_servers, missing = servers.every(out, version, only)
    enter_loopback()  # after the installations, which need the network
    burns, load_before = calibrated(), figures.load()
    samples = {server.name: {"start_ms": [], "from_zero_ms": [], "idle_pss_mb": [], "functions": {}} for server in all_servers}
    for number in range(rounds):
        turn = number % max(1, len(all_servers))
        for server in all_servers[turn:] + all_servers[:turn]:
            if server.name in missing:
                continue
            try:
                one_round(server, generator, burns, peak_seconds, rate_seconds, samples[server.name])
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                missing[server.name] = f"failed in round {number + 1}: {error}"[:600]
    measured = {server.name: _summed_up(server, samples[server.name]) for server in all_servers if server.name not in missing}
    return {"peers": measured, "missing": missing, "rounds": rounds, "burn_rounds": burns, "cores": len(os.sched_getaffinity(0)),
            "python": subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
            "processes": servers.PROCESSES, "load": [load_before, figures.load()],
            "generator": "one thread, not pinned: it takes from the servers' cores, alike for all"}


def report(result):
    peers = result["peers"]
    rows, kinds, latency = [], [], []
    for name, one in peers.items():
        hello, burned = one["functions"]["hello"], one["functions"].get("burn")
        zero = one.get("from_zero_ms") or one.get("start_ms")
        rows.append((name, f"{hello['peak']:.0f}", f"{hello['cpu_us']['total']:.1f}", f"{hello['per_cpu_second'] or 0:.0f}",
                     f"{burned['peak']:.1f}" if burned else "-", f"{burned['cpu_us']['total'] / 1000:.1f}" if burned else "-",
                     "call" if "from_zero_ms" in one else "start", f"{zero['p50']:.1f}", f"{zero['p99']:.1f}", zero["n"],
                     f"{one['idle_pss_mb']:.1f}"))
        for kind, by_mode in hello["cpu_us"]["kinds"].items():
            kinds.append((f"{name}: {kind}", f"{by_mode['user']:.1f}", f"{by_mode['system']:.1f}", f"{sum(by_mode.values()):.1f}"))
        for function, by_function in one["functions"].items():
            for rate, values in by_function["at_rate_ms"].items():
                latency.append((name, function, rate, values["n"], values["errors"], f"{values['p50']:.2f}", f"{values['p99']:.2f}"))
    text = [figures.table((f"peers, {result['rounds']} rounds", "hello/s", "CPU us each", "per CPU second", "burn/s", "CPU ms each", "from zero",
                           "p50 ms", "p99 ms", "n", "idle PSS MB"), rows),
            figures.table(("CPU us per hello at peak", "user", "system", "together"), kinds),
            figures.table(("latency at a fixed rate, ms", "function", "requests/s", "n", "errors", "p50", "p99"), latency)]
    beside = [(name, *(f"{peers[name]['functions']['hello']['peak'] / peers[other]['functions']['hello']['peak']:.2f}" if other in peers else "-" for other in WORKERD))
              for name in EBB if name in peers]
    if beside and any(other in peers for other in WORKERD):
        text.append(figures.table(("hello/s, times those of", *WORKERD), beside))
    if result["missing"]:
        text.append("\n".join(f"missing: {name}: {reason}" for name, reason in result["missing"].items()))
    return "\n\n".join(text)


def judge(result, bars):
    peers = result["peers"]
    rates = {name: one["functions"]["hello"]["peak"] for name, one in peers.items()}
    for name in (name for name in EBB if name in rates and WORKERD[0] in rates):
        bars.above(f"{name} hello, requests/s: more than {WORKERD[0]}", rates[name], rates[WORKERD[0]], "/s")
    measured = [name for name in EBB if name in peers]
    missing = [name for name in EBB if name in result["missing"]]
    if measured or missing:
        errors = sum(values["errors"] for name in measured for one in peers[name]["functions"].values() for values in one["at_rate_ms"].values())
        bars.at_most("peers: errors of Ebb at fixed rates", errors, 0)
        bars.at_most("peers: servers of Ebb that failed", len(missing), 0)
