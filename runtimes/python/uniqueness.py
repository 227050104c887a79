"""What must differ between copies of one process and would not by itself: renewed in each instance.

Generators that were seeded from the operating system's entropy are seeded again. One that the user seeded (with
`random.Random(7)`, `numpy.random.seed(7)`, `torch.manual_seed(7)`) is left alone: it gives every instance the same
numbers, as it would if every instance had run the module itself. (Python renews the hidden generator behind
`random.random()` in every child, even a seeded one.)

What needs no help: os.urandom, secrets, and libraries that notice a changed pid, as OpenSSL does, copies bundled in
wheels included: an instance's pid always differs from its zygote's.
"""

import os
import random
import sys
import weakref

_TORCH_DEFAULT_SEED = 67280421310721  # what torch begins with when nobody seeds it

_own_seed = random.Random.seed
_own_setstate = random.Random.setstate
_from_entropy = {}  # id -> weak reference, of random.Random objects


def _remember(generator):
    key = id(generator)
    try:
        _from_entropy[key] = weakref.ref(generator, lambda _: _from_entropy.pop(key, None))
    except TypeError:
        pass  # a subclass without weak references: it keeps its state


def watch_random():
    """From now on it is known of each random.Random whether its seed came from the user. Once, before user code."""

    def seed(self, a=None, version=2):
        _own_seed(self, a, version)
        if a is None:
            _remember(self)
        else:
            _from_entropy.pop(id(self), None)

    def setstate(self, state):
        _own_setstate(self, state)
        _from_entropy.pop(id(self), None)

    seed.__doc__, setstate.__doc__ = _own_seed.__doc__, _own_setstate.__doc__
    random.Random.seed = seed
    random.Random.setstate = setstate


def _is_from_entropy(bit_generator):
    sequence = getattr(bit_generator, "_seed_seq", None) or getattr(bit_generator, "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    # The operating system gives 128 bits; a user's seed is a small number or a list of such.
    return isinstance(entropy, int) and entropy >= 1 << 64


def find_numpy_generators():
    """The bit generators seeded from entropy that exist now, the global one included. One walk over all objects."""
    numpy_random = sys.modules.get("numpy.random")
    base = getattr(numpy_random, "BitGenerator", None)
    if base is None:
        return []
    import gc

    found = [thing for thing in gc.get_objects() if isinstance(thing, base)]
    legacy = getattr(getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None), "_bit_generator", None)
    if legacy is not None and not any(thing is legacy for thing in found):
        found.append(legacy)
    return [thing for thing in found if _is_from_entropy(thing)]


def _renew_random():
    for reference in tuple(_from_entropy.values()):
        generator = reference()
        if generator is not None:
            _own_seed(generator)
            generator.gauss_next = None


def _fresh_state(generator):
    """A state drawn from the operating system: numpy's own seeding takes half a millisecond in a fresh copy."""
    kind = type(generator).__name__
    if kind == "MT19937":
        key = sys.modules["numpy"].frombuffer(os.urandom(624 * 4), dtype="uint32")
        return {"bit_generator": kind, "state": {"key": key, "pos": 624}}
    if kind in ("PCG64", "PCG64DXSM"):
        words = {
            "state": int.from_bytes(os.urandom(16), "little"),
            "inc": int.from_bytes(os.urandom(16), "little") | 1,
        }
        return {"bit_generator": kind, "state": words, "has_uint32": 0, "uinteger": 0}
    return type(generator)().state


def _renew_numpy(generators):
    rand = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    legacy = getattr(rand, "_bit_generator", None)
    for generator in generators:
        state = _fresh_state(generator)
        if generator is legacy:
            # RandomState keeps the second number of a pair it drew; drop it with the old state.
            rand.set_state({**state, "has_gauss": 0, "gauss": 0.0})
        else:
            generator.state = state


def _renew_torch():
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "initial_seed") and torch.initial_seed() == _TORCH_DEFAULT_SEED:
        torch.seed()


def _renew_modules():
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 0.0)
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        # uuid1 of libuuid keeps node and clock sequence in memory; Python's own draws them anew.
        uuid._node = uuid._last_timestamp = None
        uuid._generate_time_safe = None
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)


def renew(numpy_generators):
    """In an instance, once, before any user code."""
    _renew_random()
    _renew_numpy(numpy_generators)
    _renew_torch()
    _renew_modules()


def renew_files(descriptors):
    """Opens kept read-only files again: copies would share one position, and move it under each other."""
    for fd in descriptors:
        try:
            position = os.lseek(fd, 0, os.SEEK_CUR)
            flags = 0
            with open(f"/proc/self/fdinfo/{fd}") as info:
                for line in info:
                    if line.startswith("flags:"):
                        flags = int(line.split()[1], 8)
            again = os.open(f"/proc/self/fd/{fd}", flags & ~os.O_CREAT & ~os.O_EXCL | os.O_CLOEXEC)
        except OSError:
            continue  # a device, or a file this uid may read only through its old descriptor
        os.lseek(again, position, os.SEEK_SET)
        os.dup2(again, fd, inheritable=not flags & os.O_CLOEXEC)
        os.close(again)
