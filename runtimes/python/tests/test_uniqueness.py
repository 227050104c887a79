"""No two copies of a process, nor workers of theirs, draw the same random numbers; what a user seeded stays."""

import pytest

COUNT = 200

SOURCE = """
    import hashlib, os, random, secrets, ssl, tempfile, uuid
    import numpy
    {imports}

    # All of them have run once before the snapshot: their state is warm, and the same in every copy.
    own = random.Random()
    generator = numpy.random.default_rng()
    legacy = numpy.random.RandomState()
    spawned = generator.spawn(1)[0]
    philox = numpy.random.Generator(numpy.random.Philox())

    def draw():
        numpy.random.standard_normal()
        own.gauss(0, 1)
        with tempfile.NamedTemporaryFile() as file:
            name = file.name
        return {{
            "openssl": ssl.RAND_bytes(16).hex(), "random": random.getrandbits(64), "own": own.getrandbits(64),
            "numpy": numpy.random.standard_normal(), "generator": generator.random(), "legacy": legacy.random_sample(),
            "spawned": spawned.random(), "philox": philox.random(), 
            "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()),
            "secrets": secrets.token_hex(8), "temp": name, "pid": None, {more}
        }}

    draw()

    def handler(event, context):
        drawn = [draw()]
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, json.dumps(draw()).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        drawn.append(json.loads(os.read(read, 65536)))
        return drawn

    import json
"""
# A worker inherits these from its instance, as under any Python: numpy does not watch for forks.
INHERITED = {"own", "numpy", "generator", "legacy", "spawned", "philox"}


def draws(zygote, count=COUNT):
    taken = []
    for _ in range(count):
        instance = zygote.fork()
        taken.append(instance.call().json())
        instance.close()
    return taken


def assert_distinct(taken):
    for name in taken[0][0]:
        if name == "pid":
            continue
        parents = [instance[0][name] for instance in taken]
        assert len(set(parents)) == len(parents), name
        if name not in INHERITED:
            everything = [drawn[name] for instance in taken for drawn in instance]
            assert len(set(everything)) == len(everything), name


def test_from_a_function_zygote(layered, loads):
    more = '"wheel": wheel_random(), "ffi": ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value'
    imports = """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives import serialization as s
    def wheel_random():
        return X25519PrivateKey.generate().private_bytes(s.Encoding.Raw, s.PrivateFormat.Raw, s.NoEncryption()).hex()
    """
    zygote = loads(SOURCE.format(imports=imports, more=more), layered)
    assert zygote.forkable, zygote.reason
    assert_distinct(draws(zygote))


def test_from_the_runtime_zygote(layered, tmp_path):
    from sandbox import package

    tmp_path.chmod(0o755)
    path = package(SOURCE.format(imports="", more=""), str(tmp_path))
    taken = []
    for _ in range(5):
        instance = layered.fork(path)
        taken.append(instance.call().json())
        instance.close()
    assert_distinct(taken)


def test_what_the_user_seeded_is_left_alone(layered, loads):
    source = """
        import random, numpy
        numpy.random.seed(42)
        seeded = random.Random(7)
        restored = random.Random()
        restored.setstate(random.Random(9).getstate())
        generator = numpy.random.default_rng(5)
        legacy = numpy.random.RandomState(3)
        def handler(event, context):
            return [seeded.random(), restored.random(), float(numpy.random.random()),
                    generator.random(), legacy.random_sample()]
    """
    zygote = loads(source, layered)
    first, second = zygote.fork(), zygote.fork()
    assert first.call().json() == second.call().json()
    assert first.call().json() == second.call().json()
    first.close()
    second.close()


def test_pids_differ(sandbox, loads):
    source = """
        import os
        at_load = os.getpid()
        def handler(event, context):
            return [at_load, os.getpid(), os.getppid()]
    """
    zygote = loads(source)
    for _ in range(3):
        instance = zygote.fork()
        at_load, pid, parent = instance.call().json()
        assert pid == 1 and parent == 0 and at_load > 20_000
        instance.close()


def test_hooks_run_once_in_every_copy(loads):
    source = """
        import os, ebb
        calls = []
        @ebb.before_snapshot
        def before():
            calls.append(["before", os.getpid() > 1])
        @ebb.after_restore
        def first():
            calls.append(["after", os.getpid()])
        @ebb.after_restore
        def second():
            calls.append(["second", os.getpid()])
        def handler(event, context):
            if event == "fork" and os.fork() == 0:
                os._exit(len(calls))
            return calls
    """
    zygote = loads(source)
    for _ in range(3):
        instance = zygote.fork()
        expected = [["before", True], ["after", 1], ["second", 1]]
        for event in (None, "fork", None):
            assert instance.call(event).json() == expected
        assert instance.init_ns > 0
        instance.close()


def test_after_restore_may_open_what_a_zygote_may_not(loads):
    source = """
        import ebb, socket, threading
        @ebb.after_restore
        def connect():
            global pair, thread
            pair = socket.socketpair()
            thread = threading.Thread(target=pair[1].recv, args=(1,), daemon=True)
            thread.start()
        def handler(event, context):
            return [thread.is_alive(), pair[0].fileno() > 3]
    """
    instance = loads(source).fork()
    assert instance.call().json() == [True, True]
    instance.close()


def test_failing_after_restore_ends_the_instance(loads):
    from sandbox import Failed

    source = """
        import ebb
        @ebb.after_restore
        def connect():
            raise ConnectionError("no database")
        def handler(event, context):
            return 1
    """
    zygote = loads(source)
    for _ in range(2):
        instance = zygote.fork(ready=False)
        with pytest.raises(Failed) as error:
            instance.ready()
        assert error.value.kind == "init" and error.value.type == "ConnectionError"
        assert "after_restore hook failed (app.py line 5): no database" in error.value.message
        assert instance.ended()
        instance.close()
