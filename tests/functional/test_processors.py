"""Calls that compute wait for a busy instance while all processors are taken, and not for each other in instances of their own."""

import os
import pathlib

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


def told():
    try:
        return PRESSURE.read_text().startswith("some ")
    except OSError:
        return False


@pytest.mark.skipif(not told(), reason="this kernel does not say when work waits for processors (psi=1)")
def test_a_burst_of_calls_that_compute_gets_few_instances(node):
    processors = min(4, os.cpu_count())  # threads of one Python process make no burst for more
    calls = 30 * processors
    node.deploy_app(SOURCE, {"computes": {"handler": "app.computes", "memory": "64Mi", "scale": {"max": calls}}}, app="computing")
    for _ in range(40):
        assert node.call("/fn/computing/computes").status_code == 200
    answers = in_parallel(calls, lambda _: node.call("/fn/computing/computes"))
    assert [answer.status_code for answer in answers] == [200] * calls
    instances = {answer.text for answer in answers}
    assert len(instances) <= calls // 2, "each call had an instance of its own, or nearly"
