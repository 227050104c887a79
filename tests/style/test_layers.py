"""Includes follow the parts' order in CMakeLists.txt. There is no list of exceptions."""

import re

from tree import parts, sources, text

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def test_every_folder_of_src_is_a_part():
    folders = {path.parts[1] for path in sources(".h", ".cc", under="src/") if len(path.parts) > 2}
    assert folders <= set(parts()), "a folder in src/ that CMakeLists.txt does not declare with ebb_part"


def test_parts_have_no_cycle_and_no_unknown_dependency():
    seen = set()
    for part, allowed in parts().items():
        assert allowed <= seen, f"{part} depends on {allowed - seen}, which are not declared before it"
        seen.add(part)


def test_includes_obey_the_layers():
    allowed = parts()
    wrong = []
    for path in sources(".h", ".cc", under="src/"):
        if len(path.parts) == 2:
            continue  # main.cc is where everything meets
        part = path.parts[1]
        for included in INCLUDE.findall(text(path)):
            target = included.split("/")[0]
            if "/" not in included or target not in allowed[part] | {part}:
                wrong.append(f"{path} includes {included}")
    assert not wrong, "\n".join(wrong)


def test_only_main_lies_in_src():
    assert {path.name for path in sources(".h", ".cc", under="src/") if len(path.parts) == 2} <= {"main.cc"}
