"""Images with a whole userland for tests: Debian's Python, shell and tools with all that they need, as their packages lie on this machine,
and packages of PyPI above, as `FROM debian` with `RUN pip install` makes them.
"""

import os
import re
import shutil
import subprocess

import images

PACKAGES = ("python3", "dash", "coreutils", "base-files", "libc-bin", "libstdc++6")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr, which belong to no package
LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/i18n/")
PACKAGES_OF_PYTHON = "/usr/local/lib/python3.11/dist-packages"


def missing():
    """What this machine lacks to make one."""
    lacking = images.missing_tools("skopeo", "umoci", "dpkg-query", "tar")
    return lacking if os.path.exists("/usr/bin/python3.11") else [*lacking, "Debian 12's python3"]


def _with_dependencies(names):
    """Of alternatives those that are installed."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Depends},${Pre-Depends}", name], capture_output=True, text=True, timeout=60, check=False)
        if name not in found and done.stdout.startswith("ii"):
            found.add(name)
            left += [one for one in re.split(r"\s*(?:\([^)]*\))?(?::any)?[,|]\s*", done.stdout[3:].strip() + ",") if one]
    return found


def _make_root(root):
    """What these packages have in theirs."""
    root.mkdir()
    for name in MERGED:
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    paths = set()
    for line in images.run("dpkg", "-L", *sorted(_with_dependencies(PACKAGES))).splitlines():
        # A package says /lib/x of what lies in /usr/lib; lines without a slash speak of diversions.
        path = os.path.join(os.path.realpath(os.path.dirname(line)), os.path.basename(line))
        if line.startswith("/") and not path.startswith(LEFT_OUT) and os.path.lexists(path):
            paths.add(path.strip("/"))
    (root / "tmp").mkdir(exist_ok=True)
    packed = subprocess.run(["tar", "-C", "/", "--no-recursion", "-cf", "-", "-T", "-"], input="\n".join(sorted(paths)).encode(),
                            stdout=subprocess.PIPE, check=True, timeout=120).stdout
    subprocess.run(["tar", "-C", str(root), "--keep-directory-symlink", "-xf", "-"], input=packed, check=True, timeout=120)
    return root


class DebianImage:
    """One layout; `tag` adds an image to it, above the same two layers."""

    def __init__(self, folder, requirements):
        self._layout = folder / "layout"
        installed = folder / "installed"
        images.run("/usr/bin/python3", "-m", "pip", "install", "-q", "--no-compile", "--only-binary=:all:", "--target", installed, *requirements)
        self._base = images.Umoci(self._layout, "base").insert(_make_root(folder / "root"), "/").insert(installed, PACKAGES_OF_PYTHON)
        if (installed / "bin").is_dir():
            self._base.insert(installed / "bin", "/usr/local/bin")
        shutil.rmtree(folder / "root")

    def tag(self, name, files, **settings):
        """Its name, for skopeo; `files`: a folder that becomes /app."""
        images.run("umoci", "tag", "--image", f"{self._layout}:base", name)
        images.Umoci.at(self._layout, name).insert(files, "/app").config(workingdir="/app", user="nobody", **settings)
        return f"oci:{self._layout}:{name}"
