"""Calls that compute wait for a busy instance while all processors are taken, and not for each other in instances of their own."""

import os
import pathlib
import time

import pytest

from ebb_node import in_parallel

PRESSURE = pathlib.Path("/proc/pressure/cpu")
SOURCE = '''
import time, uuid
me = None

def computes(event, context):
    global me
    me = me or uuid.uuid4().hex
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    return me
'''


def stalled():
    """Seconds in which work waited for processors, of the machine's life; None where the kernel does not say."""
    try:
        return int(PRESSURE.read_text().partition(" total=")[2].split()[0]) / 1e6
    except (OSError, IndexError):
        return None


@pytest.mark.skipif(stalled() is None, reason="this kernel does not say when work waits for processors (psi=1)")
def test_a_burst_of_calls_that_compute_gets_few_instances(node):
    processors = min(4, os.cpu_count())  # threads of one Python process make no burst for more
    calls = 30 * processors
    node.deploy_app(SOURCE, {"computes": {"handler": "app.computes", "memory": "64Mi", "scale": {"max": calls}}}, app="computing")
    free = 0  # calls in moments in which nobody waits for processors: what these calls do by themselves is learned then
    for _ in range(200):
        begun, waited = time.monotonic(), stalled()
        assert node.call("/fn/computing/computes").status_code == 200
        free += stalled() - waited < 0.1 * (time.monotonic() - begun)
        if free == 20:
            break
    else:
        pytest.skip("others keep the processors of this machine busy all the time: nothing can be learned of calls")
    answers = in_parallel(calls, lambda _: node.call("/fn/computing/computes"))
    assert [answer.status_code for answer in answers] == [200] * calls
    instances = {answer.text for answer in answers}
    assert len(instances) <= calls // 2, "each call had an instance of its own, or nearly"
