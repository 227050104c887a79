"""docs/internals/hardening.md and the tests it names agree, both ways: no line without an answer, no attack test without a line."""

import re

from tree import ROOT, sources, text

PAGE = ROOT / "docs/internals/hardening.md"
SHORT = {"W": "tests/security/test_walls.py", "S": "tests/security/test_syscalls.py", "A": "tests/security/test_attacks.py",
         "R": "tests/security/test_roles.py", "D": "src/gateway/daemon_walls_test.cc",
         "B": "tests/security/test_b_resources.py", "P": "tests/security/test_b_processors.py", "C": "tests/security/test_c_lifecycle.py", "N": "tests/security/test_network.py", "K": "tests/security/test_auth.py", "X": "tests/security/test_secrets.py",
         "T": "tests/security/test_tls.py"}
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.M)


def rows():
    """{line number: its last column}."""
    found = ROW.findall(PAGE.read_text())
    numbers = [int(number) for number, _, _ in found]
    assert len(numbers) == len(set(numbers)), "a line stands twice in docs/internals/hardening.md"
    return {int(number): tests for number, _, tests in found}


def named(column):
    """[(file, test)] of a row."""
    return [(SHORT.get(file, file), name) for file, name in re.findall(r"`([^`:]+)::([\w.]+)`", column)]


def defined(file):
    """The names of the tests in a file: Python functions, Suite.Case of GoogleTest, a fuzz target's entry."""
    path = ROOT / file
    if not path.exists():
        return set()
    source = path.read_text()
    names = set(re.findall(r"^def (test_\w+)\(", source, re.M)) | set(re.findall(r"\b(LLVMFuzzerTestOneInput)\(", source))
    return names | {".".join(pair) for pair in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", source, re.M)}


def test_every_line_has_a_test_or_a_reason():
    table = rows()
    assert sorted(table) == [*range(1, 41), 65, 66]
    empty = [number for number, column in table.items() if not named(column) and not re.search(r"(does not apply|open): \w", column)]
    assert not empty, f"lines {empty} of docs/internals/hardening.md name neither a test nor why there is none"


def test_every_named_test_exists():
    missing = [f"{file}::{name}" for column in rows().values() for file, name in named(column) if name not in defined(file)]
    assert not missing, "\n".join(missing)


def test_every_attack_test_stands_in_its_line():
    table = rows()
    missing = []
    for path in sources(".py", under="tests/security/"):
        for name, number in re.findall(r"^def (test_[abc](\d\d)_\w+)\(", text(path), re.M):
            if (str(path), name) not in named(table.get(int(number), "")):
                missing.append(f"{path}::{name} is not named in line {int(number)}")
    assert not missing, "\n".join(missing)
