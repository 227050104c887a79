"""What user code finds around it, whoever starts it: the search path, the streams, the hooks of the module `ebb`."""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
LAYER = "/ebb/layer"


def add_site():
    """The module `ebb`, and exit() and quit(), which -S leaves out."""
    sys.path.append(os.path.join(_HERE, "site"))
    import site

    site.setquit()


def add_layer(path=LAYER):
    """The layer joins the search path; so do folders its .pth files name. Their `import` lines are code and are not
    run: what they do (namespace packages of old, editable installs) no layer needs."""
    if not os.path.isdir(path):
        return
    sys.path.append(path)
    for name in sorted(os.listdir(path)):
        if not name.endswith(".pth"):
            continue
        with open(os.path.join(path, name), encoding="utf-8", errors="replace") as lines:
            for line in lines:
                folder = os.path.join(path, line.strip())
                if line.strip() and not line.startswith(("#", "import ", "import\t")) and os.path.isdir(folder):
                    sys.path.append(folder)


def prepare_output():
    """A line goes out when it is complete: what a function printed before it hung or was killed is in its log."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def user_hooks():
    import ebb

    return ebb
