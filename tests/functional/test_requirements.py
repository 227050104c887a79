"""What requirements.txt may ask of pip: `pip_only_binary` is the node's, and no line of a package undoes it."""

import io
import json
import tarfile

import pytest

from ebb_node import parse_json

HANDLER = "def handler(event, context):\n    import built_words\n    return built_words.WORDS\n"
# A backend of the sdist's own, so that building needs nothing of an index.
BACKEND = '''
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "built_words-1.0-py3-none-any.whl"
    info = "built_words-1.0.dist-info"
    with zipfile.ZipFile(directory + "/" + name, "w") as archive:
        archive.writestr("built_words.py", "WORDS = 'built'\\n")
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: built-words\\nVersion: 1.0\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return name
'''


def sdist():
    files = {"PKG-INFO": "Metadata-Version: 2.1\nName: built-words\nVersion: 1.0\n", "backend.py": BACKEND,
             "pyproject.toml": '[build-system]\nrequires = []\nbackend-path = ["."]\nbuild-backend = "backend"\n'}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"built_words-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def deploy(node, requirements, more="", expect=0):
    """`requirements` with an index that is a folder of the package and has nothing but an sdist."""
    manifest = json.dumps({"app": "source", "functions": {"f": {"handler": "app.handler"}}})
    index = "--no-index\n--find-links /ebb/source/index\n"
    return node.deploy({"ebb.yaml": manifest, "app.py": HANDLER, "requirements.txt": index + requirements, "more.txt": more,
                        "index/built_words-1.0.tar.gz": sdist()}, expect=expect)


@pytest.mark.parametrize("requirements, more", [
    ("built-words\n", ""),
    ("--no-binary=:all:\nbuilt-words\n", ""),
    ("--no-bin built-words\nbuilt-words\n", ""),  # options may be shortened
    ("built-words --no-binary=:all:\n", ""),
    ("built-words --pre '--no-binary=:all:'\n", ""),
    ("--only-binary=:none:\nbuilt-words\n", ""),
    ("built-words\n-r more.txt\n", "--no-binary=built-words\n"),
    ("built-words\n-c more.txt\n", "--no-binary=built-words\n"),
])
def test_what_an_index_has_is_never_built(node, requirements, more):
    refused = deploy(node, requirements, more, expect=2)
    assert "requirements.txt cannot be installed" in refused.stderr, refused.stderr
    assert "No matching distribution found for built-words" in parse_json(refused.stdout)["error"]["detail"]


@pytest.mark.parametrize("fresh_node", [{"pip_only_binary": False}], indirect=True)
def test_the_node_may_allow_it(fresh_node):
    deploy(fresh_node, "built-words\n")
    assert fresh_node.call("source/f").text == "built"
