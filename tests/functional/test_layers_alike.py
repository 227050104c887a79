"""Two nodes that never heard of each other make the same layer, byte for byte, of the same requirements and of the same lock."""

import io
import json
import os
import stat
import zipfile

import pytest

import npm_registry
from ebb_node import Node, running
from npm_registry import lock_of, needs_npm

MODULE = '''
import enum
WORDS = frozenset(%r)

class Colour(enum.Enum):
    """Has a docstring, constants and names to be marshalled."""
    RED = "red"

def known(word):
    return word in {"one", "two", "three"} and not any(letter in WORDS for letter in word)
'''
MODULES = ("__init__", "part/__init__", "part/deep", *(f"module_{number}" for number in range(20)))


@pytest.fixture(scope="module")
def registry():
    with npm_registry.registry() as one:
        yield one


@pytest.fixture(scope="module")
def nodes(registry):
    with pytest.MonkeyPatch.context() as patch:
        npm_registry.make_default(patch, registry)
        with running(Node()) as first, running(Node()) as second:
            yield first, second


def wheel(name, more=()):
    """A package with modules, data, a command, and a file for another Python. `more`: files, (path, content)."""
    info, made = f"{name}-1.0.dist-info", io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for module in MODULES:
            archive.writestr(f"{name}/{module}.py", MODULE % ([module, "A", "B", "C"],))
        archive.writestr(f"{name}/old.py", "print 'of Python 2'\n")
        archive.writestr(f"{name}/data/table.bin", bytes(range(256)))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-say = {name}.part.deep:known\n")
        archive.writestr(f"{info}/RECORD", "")
        for path, data in more:
            archive.writestr(path, data)
    return made.getvalue()


def content(tree):
    """{path: (type and mode, owner, what is in it)} of all that lies below."""
    found = {}
    for folder, folders, files in os.walk(tree):
        for name in folders + files:
            path = os.path.join(folder, name)
            status, data = os.lstat(path), None
            if stat.S_ISLNK(status.st_mode):
                data = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
            found[os.path.relpath(path, tree)] = (oct(status.st_mode), status.st_uid, data)
    return found


def assert_alike(nodes, app, files, **function):
    """Deploys to both, and compares what lies in their data directories. The layer."""
    made = []
    for node in nodes:
        node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": function}}), **files})
        made.append(content(node.data / "layers" / node.functions(app)[f"{app}/f"]["layer"]))
    assert sorted(made[0]) == sorted(made[1])
    assert [path for path in made[0] if made[0][path] != made[1][path]] == []
    return made[0]


def test_requirements(nodes):
    files = {f"{name}-1.0-py3-none-any.whl": wheel(name) for name in ("first_words", "second_words")}
    requirements = "".join(f"/ebb/source/{name}\n" for name in files)
    source = "import first_words.module_3 as of\ndef handler(event, context):\n    return [of.__file__, of.__cached__, of.known('one')]\n"
    layer = assert_alike(nodes, "py", {**files, "requirements.txt": requirements, "app.py": source}, handler="app.handler")
    compiled = [path for path in layer if path.endswith(".pyc")]
    assert len(compiled) == 2 * len(MODULES), compiled
    # Of no date and checked against no source: they are used as they are, where they lie.
    assert all(layer[path][2][4:8] == b"\1\0\0\0" and b"/ebb/layer/" in layer[path][2] for path in compiled)
    assert "bin/first_words-say" in layer and "first_words/data/table.bin" in layer
    file, cached, known = nodes[0].call("py/f").json()
    assert file == "/ebb/layer/first_words/module_3.py" and cached.removeprefix("/ebb/layer/") in compiled and known


def test_what_cannot_be_written_fails_the_layer(nodes):
    """A file that does not compile is left out, one for which there is no room is not: here a file stands where the folder would be."""
    name = "taken_words-1.0-py3-none-any.whl"
    files = {name: wheel("taken_words", [("taken_words/data/__pycache__", "not a folder"), ("taken_words/data/late.py", "")]),
             "requirements.txt": f"/ebb/source/{name}\n", "app.py": "def handler(event, context):\n    pass\n"}
    manifest = json.dumps({"app": "taken", "functions": {"f": {"handler": "app.handler"}}})
    refused = nodes[0].deploy({"ebb.yaml": manifest, **files}, expect=None)
    assert refused.returncode != 0 and "cannot compile /ebb/out/taken_words/data/late.py" in refused.stdout + refused.stderr


@needs_npm
def test_packages_of_npm(nodes, registry):
    letters = registry.publish("letters", "1.0.0", {"index.js": "module.exports = 'letters';", "data/table.json": "[1, 2, 3]"})
    words = registry.publish("words", "1.0.0", {"index.js": "exports.text = 'words of ' + require('letters');", "say.js": "#!/usr/bin/env node\n"},
                             bin={"say": "say.js"}, dependencies={"letters": "^1.0.0"})
    files = {"index.js": "const words = require('words');\nexports.handler = async () => words.text;\n", **lock_of({"words": words, "letters": letters})}
    layer = assert_alike(nodes, "js", files, runtime="node", handler="index.handler", memory="256Mi")
    assert "node_modules/.bin/say" in layer and "node_modules/letters/data/table.json" in layer
    assert nodes[1].call("js/f").text.strip('"') == "words of letters"
