"""What the style tests look at: the files git tracks or would track, and the parts with their allowed includes."""

import functools
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def files():
    """Every tracked or not ignored file that exists, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = sorted(name for name in listed.stdout.decode().split("\0") if name)
    else:  # a source archive without .git
        names = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file())
    paths = [pathlib.PurePosixPath(name) for name in names]
    outside = ("build", ".state", ".cache", ".git")
    return [path for path in paths if not path.parts[0].startswith(outside) and (ROOT / path).is_file()]


def sources(*suffixes, under=""):
    return [path for path in files() if path.suffix in suffixes and str(path).startswith(under)]


@functools.cache
def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def parts():
    """{part: the parts it may include besides itself}, from CMakeLists.txt: the list the linker obeys too."""
    found = {}
    for name, rest in re.findall(r"^ebb_part\((\w+)\s+DEPS([^)]*)\)", text(pathlib.PurePosixPath("CMakeLists.txt")), re.M):
        found[name] = set(rest.split("LIBS")[0].split())
    return found


def code_only(source):
    """C++ without comments and with string and character literals emptied; line numbers stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]{0,16})\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        kept = '""' if match.group().startswith(('"', 'R"')) else "0" if match.group().startswith("'") else " "
        return kept + "\n" * match.group().count("\n")

    return pattern.sub(blank, source)
