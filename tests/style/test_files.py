"""Length, names, head comments and words of the files."""

import re

import pytest

from tree import ROOT, code_only, files, sources, text

LINES_MAX = 700
BANNED = re.compile(r"manager|helper|util|common", re.I)
TYPE = re.compile(r"\b(?:class|struct|enum(?:\s+class)?|concept|union)\s+(?:EBB_TSA\([^)]*\)\)?\s*)?(?:\[\[\w+\]\]\s*)?(\w+)")


def test_files_stay_short():
    long = {str(path): count for path in sources(".h", ".cc", ".c", ".py")
            if (count := text(path).count("\n")) > LINES_MAX}
    assert not long, f"longer than {LINES_MAX} lines, split by concept: {long}"


def test_headers_begin_with_what_they_are_about():
    bare = []
    for path in sources(".h", under="src/"):
        if path.name == "pch.h":
            continue
        head = text(path).split("#pragma once")[0]
        if not head.startswith("//") or len(head) < 60:
            bare.append(str(path))
    assert not bare, f"no head comment before #pragma once: {bare}"


def test_headers_have_pragma_once():
    assert not [str(path) for path in sources(".h") if "#pragma once" not in text(path)]


def test_file_names():
    wrong = [str(path) for path in sources(".h", ".cc", ".c", ".py") if BANNED.search(path.stem) or
             (path.suffix != ".py" and not re.fullmatch(r"[a-z0-9_]+", path.stem))]
    assert not wrong, f"not snake_case, or a name that says nothing: {wrong}"


def test_type_names():
    wrong = []
    for path in sources(".h", ".cc", under="src/"):
        wrong += [f"{path}: {name}" for name in TYPE.findall(code_only(text(path))) if BANNED.search(name)]
    assert not wrong, f"a type's name that says nothing: {wrong}"


def test_no_throw_in_our_code():
    wrong = [str(path) for path in sources(".h", ".cc", under="src/")
             if not path.name.endswith("_test.cc")  # a test of the wall against exceptions has to throw one
             and re.search(r"\bthrow\b", code_only(text(path)))]
    assert not wrong, f"errors are values here (decision 0001): {wrong}"


def test_test_files_lie_beside_what_they_test_or_name_a_part():
    """x_test.cc has an x.cc or x.h, or is named for a part or its concept in its head comment."""
    orphans = []
    for path in sources(".cc", under="src/"):
        if path.name.endswith("_test.cc"):
            stem = path.name.removesuffix("_test.cc")
            beside = any((ROOT / path.parent / (stem + suffix)).exists() for suffix in (".cc", ".h"))
            if not beside and not text(path).startswith("//"):
                orphans.append(str(path))
    assert not orphans, f"no x.cc beside x_test.cc and no head comment that says what is tested: {orphans}"


# A developer's machine has no place in what everybody reads.
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|work)/\w")


def test_no_path_of_a_developers_machine():
    wrong = []
    for path in files():
        try:
            content = text(path)
        except UnicodeDecodeError:
            continue
        if path.parts[:2] == ("tests", "style"):
            continue
        wrong += [f"{path}: {match.group()}" for match in MACHINE.finditer(content)]
    assert not wrong, "\n".join(wrong)


def test_the_licence_is_there_and_whole():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence


def test_no_unfinished_marks():
    wrong = []
    for path in sources(".h", ".cc", ".c", ".py", under="src/") + sources(".py", ".c", ".h", ".cc", under="runtimes/"):
        wrong += [f"{path}: {line.strip()}" for line in text(path).splitlines() if re.search(r"TODO\(now\)|\bFIXME\b|\bXXX\b", line)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("sample,expected", [
    ('a("//"); // note\nb', 'a(""); \x20\nb'),
    ("x = '\\''; /* y\nz */ w", "x = 0; \x20\n w"),
    ('R"(co_await\n)" k', '""\n k'),
    ("1'000'000", "1'000'000"),
])
def test_the_comment_stripper(sample, expected):
    assert code_only(sample).split() == expected.split()
