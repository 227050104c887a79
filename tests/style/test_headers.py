"""Every header compiles alone: what it uses, it includes. Results are remembered by content, so a second run is quick.

A header that a source includes first is compiled alone by the build itself, unless a precompiled header comes before it.
"""

import concurrent.futures
import hashlib
import os
import re
import subprocess

from tree import ROOT, sources, text

CACHE = ROOT / ".cache" / "headers"
FLAGS = ["-std=c++20", "-fsyntax-only", "-Isrc", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-DBOOST_ASIO_NO_DEPRECATED",
         "-DBOOST_ASIO_DISABLE_VISIBILITY", '-DEBB_VERSION="0"', "-x", "c++"]
COMPILER = os.environ.get("CXX", "g++")


def first_in_a_source():
    """The headers that the build compiles alone, as they are included."""
    found = set()
    for path in sources(".cc", under="src/"):
        precompiled = (ROOT / path).with_name("pch.h").exists() or path.name.endswith("_test.cc")
        first = re.search(r'#\s*include\s+[<"]([^>"]+)', text(path))
        if first and not precompiled:
            found.add(first.group(1))
    return found


def closure(path, seen):
    """The header and those of ours it includes, in a stable order."""
    if str(path) in seen:
        return
    seen.add(str(path))
    for included in re.findall(r'#\s*include\s+"([^"]+)"', text(path)):
        target = ROOT / "src" / included
        if target.is_file():
            closure(target.relative_to(ROOT), seen)


def key_of(path):
    seen = set()
    closure(path, seen)
    digest = hashlib.sha256(repr((COMPILER, FLAGS)).encode())
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def compile_alone(path):
    mark = CACHE / key_of(path)
    if mark.exists():
        return None
    run = subprocess.run([COMPILER, *FLAGS, "-"], input=f'#include "{path.relative_to("src")}"\n', cwd=ROOT,
                         capture_output=True, text=True, timeout=300, check=False)
    if run.returncode == 0:
        mark.touch()
        return None
    return f"{path}:\n{run.stderr[:2000]}"


def test_headers_compile_alone():
    CACHE.mkdir(parents=True, exist_ok=True)
    headers = [path for path in sources(".h", under="src/") if path.name != "pch.h"]
    built = first_in_a_source()
    assert headers and built, "no header found: the test looks in the wrong place"
    headers = [path for path in headers if str(path.relative_to("src")) not in built]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = [problem for problem in pool.map(compile_alone, headers) if problem]
    assert not wrong, "\n".join(wrong)
