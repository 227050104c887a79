"""Writes docs/reference/limits.md from src/base/limits*.h; with --check only says whether the two agree.

The headers are the truth: a group is a comment line that ends in a full stop, a limit is a constant with its reason behind it.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADERS = (ROOT / "src/base/limits.h", *sorted((ROOT / "src/base").glob("limits_*.h")))
PAGE = ROOT / "docs/reference/limits.md"

CONSTANT = re.compile(r"^inline constexpr (?P<type>[\w:]+) (?P<name>k\w+)(?: = |\{)(?P<value>.*?)\}?;\s*(?://\s*(?P<why>.*))?$")
INTEGER = re.compile(r"std::(?:size_t|uint64_t|uint32_t)\{(\d+)\}|(\d[\d']*)(?:u?ll|u)?\b")
TIME = re.compile(r"^(\d[\d']*)(ns|us|ms|s|min|h)$")


def readable(name, value):
    """The constant's value as a person writes it."""
    time = TIME.match(value)
    if time:
        unit = {"min": "minutes", "h": "hours", "s": "s"}.get(time.group(2), time.group(2))
        return f"{time.group(1).replace(chr(39), '')} {unit}"
    plain = INTEGER.sub(lambda m: (m.group(1) or m.group(2)).replace("'", ""), value)
    if not re.fullmatch(r"[\d\s*+<()\-]+", plain):
        return f"`{value}`"
    number = eval(plain, {"__builtins__": {}})  # digits and operators only, checked on the line above
    if "Bytes" not in name:
        return f"{number:,}"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number // size} {unit}"
    return f"{number:,} bytes"


def statements(header):
    """The header's lines, with what the formatter broke joined again: a constant, its value and the comment behind it."""
    joined = []
    for line in header.splitlines():
        previous = joined[-1] if joined else ""
        open_constant = previous.startswith("inline constexpr") and ";" not in previous
        more_comment = previous.startswith("inline constexpr") and re.match(r"^\s+//", line)
        if open_constant or more_comment:
            joined[-1] = f"{previous} {line.strip().removeprefix('// ') if more_comment else line.strip()}"
        else:
            joined.append(line)
    return joined


def page():
    lines = [
        "# Limits", "",
        "Every bound of the program. Generated from `src/base/limits.h` by `tools/limits_doc.py`: change the header, then run the script.",
        "What happens beyond a limit is an error that names it: see [errors](errors.md).",
    ]
    for line in statements("\n".join(header.read_text().partition("#pragma once")[2] for header in HEADERS)):
        group = re.match(r"^// (.*\.)$", line)
        constant = CONSTANT.match(line)
        if group:
            lines += ["", f"## {group.group(1).rstrip('.')}", "", "| Limit | Value | What it bounds |", "|---|---|---|"]
        elif constant:
            why = (constant.group("why") or "").replace("|", "\\|")
            lines.append(f"| `{constant.group('name')}` | {readable(constant.group('name'), constant.group('value'))} | {why} |")
        elif line.startswith("inline constexpr"):
            sys.exit(f"limits_doc: cannot read this line, keep a constant and its reason on one line: {line}")
    return "\n".join(lines) + "\n"


def main():
    wanted = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != wanted:
            sys.exit("docs/reference/limits.md is not what src/base/limits.h says: run python3 tools/limits_doc.py")
        return
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
