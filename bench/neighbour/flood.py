"""A tenant that takes all it can get of one thing, for as long as it is told: what a neighbour has to stand."""

import os
import socket
import sys
import threading
import time


def processor(end):
    while time.monotonic() < end:
        pass


def memory(end):
    """Fresh pages without pause, up to what is allowed: faults, reclaim and zeroing."""
    while time.monotonic() < end:
        block = bytearray(90 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        del block


def fork(end):
    while time.monotonic() < end:
        children = []
        try:
            for _ in range(100):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                children.append(pid)
        except OSError:
            pass
        for pid in children:
            os.waitpid(pid, 0)


def disk(end):
    block = os.urandom(1 << 20)
    while time.monotonic() < end:
        with open("/tmp/flood", "wb") as file:
            for _ in range(60):
                file.write(block)
        os.unlink("/tmp/flood")


def log(end):
    text = "x" * 200 + "\n"
    while time.monotonic() < end:
        sys.stdout.write(text * 1000)


def network(end):
    """Datagrams through the loopback of its own network namespace, where it has no other."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    target = receiver.getsockname()

    def drain():
        receiver.settimeout(1)
        while time.monotonic() < end:
            try:
                receiver.recv(65536)
            except OSError:
                pass

    threading.Thread(target=drain, daemon=True).start()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while time.monotonic() < end:
        sender.sendto(b"x" * 1400, target)


FLOODS = {"processor": processor, "memory": memory, "fork": fork, "disk": disk, "log": log, "network": network}


def handler(event, context):
    kind, seconds = event["rawPath"].strip("/").split("/")
    FLOODS[kind](time.monotonic() + float(seconds))
    return kind
