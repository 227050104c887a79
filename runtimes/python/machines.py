"""The processor that a file is built for. Of a wrong one a loader says that the file cannot be found, or less."""

HEAD_BYTES = 20
_ELF = b"\x7fELF"
_NAMES = {3: "32-bit x86", 21: "POWER", 22: "s390x", 40: "32-bit ARM", 62: "x86-64", 183: "arm64", 243: "RISC-V"}


def _head_of(path):
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _machine(head):
    """Word size, byte order and processor."""
    return head[4], head[5], int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")


def misfit(head):
    """What is wrong with a file that begins so, in words, or an empty text. Of what is no ELF file nothing is known."""
    if len(head) < HEAD_BYTES or head[:4] != _ELF:
        return ""
    theirs, ours = _machine(head), _machine(_head_of("/proc/self/exe"))
    if theirs == ours:
        return ""
    named = [_NAMES.get(machine, f"machine {machine}") for _, _, machine in (theirs, ours)]
    return f"is built for {named[0]}, this node is {named[1]}: build it for that"


def misfit_of(path):
    """The same of a file; one that cannot be read has no fault of this kind."""
    try:
        return misfit(_head_of(path))
    except (OSError, TypeError, ValueError):
        return ""
