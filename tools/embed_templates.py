"""Writes the C++ source that holds the files of the templates of `ebb init`: embed_templates.py EXAMPLES OUTPUT NAME...

Each NAME is a folder of EXAMPLES. Left out are README.md, which speaks of the example's place in the repository, and what
building an example leaves behind.
"""

import os
import pathlib
import sys


def is_source(path):
    return path.is_file() and path.name != "README.md" and path.suffix not in (".so", ".tar", ".pyc") and \
        not {"layout", "node_modules", "dist", "target", "bootstrap"} & set(path.parts)


def literal(content):
    """A C++ string of any bytes: a line for each 32, octal escapes where a character could be read otherwise."""
    lines = [content[start:start + 32] for start in range(0, len(content), 32)] or [b""]
    return "\n".join('        "' + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\{b:03o}" for b in line) + '"' for line in lines)


def main(examples, output, names):
    entries = []
    for name in names:
        folder = pathlib.Path(examples) / name
        found = sorted(path for path in folder.rglob("*") if is_source(path))
        if not found:
            raise SystemExit(f"{folder} holds no file: CMakeLists.txt names a template that is not there")
        for path in found:
            content = path.read_bytes()
            executable = "true" if os.access(path, os.X_OK) else "false"
            entries.append(f'    {{"{name}", "{path.relative_to(folder).as_posix()}", {executable},\n'
                           f"     std::string_view(\n{literal(content)}, {len(content)})}},\n")
    text = ('// Written by tools/embed_templates.py.\n#include "cli/templates.h"\n\nnamespace ebb::cli {\nnamespace {\n\n'
            "constexpr TemplateFile kFiles[] = {\n" + "".join(entries) + "};\n\n}  // namespace\n\n"
            "std::span<const TemplateFile> template_files() { return kFiles; }\n\n}  // namespace ebb::cli\n")
    pathlib.Path(output).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
