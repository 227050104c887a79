"""Installs what package-lock.json says, by `npm ci`, in the sandbox of a build: what it leaves becomes a layer.

1. npm starts in an empty folder; what the layer below has (requirements, where an app has both) is copied beside node_modules
   afterwards. Else a package of pip could lay an .npmrc, a lock or a node_modules there, which npm would heed.
2. npm sees package.json and package-lock.json of the package, what .npmrc says of registries (npmrc.py), and nothing else of
   it: no code. It runs no script of a package, and the lock may name packages of a registry and tarballs by http only, which
   is checked before npm starts.
3. The files are hostile, and so is what comes from where they point. The last line of output of a failure is "error: ...".
4. What stands for the variables of .npmrc is in the environment, as EBB_NPMRC_NAME. It goes into a file of this sandbox's own,
   which ends with it, and into no line of output: npm and registries may repeat it.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import npmrc  # noqa: E402  (-I leaves the script's folder out of the path)

OUT = "/ebb/out"
_SOURCE = "/ebb/source"
_NPMRC = "/tmp/npmrc"
_BELOW = "/ebb/layer"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_OPTIONS = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=http", "--logs-max=0",
            "--cache=/tmp/npm", f"--userconfig={_NPMRC}", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=3")
# Said of every failure and every package, and of no use to who deploys: npm's own help, empty lines, its cache, which is new.
_NOT_SHOWN = re.compile(r"(?:npm (?:ERR!|error))?\s*$|npm http cache |npm (?:ERR!|error) (?:A complete log|Log files|    at )")
_HELP = re.compile(r"npm (?:ERR!|error) Clean install a project")
_LINES_KEPT = 400  # of npm's output, to find the reason of a failure in
_REASON_CHARACTERS = 500
_LOCK_VERSION_MIN = 2
# A dependency, as package.json writes it, that is of no registry.
_ELSEWHERE = re.compile(r"(?:git|ssh|github|gitlab|bitbucket|gist|file|link|workspace)[+:]|git@|\.{0,2}/|~/|[^@:/]+/")


class Refused(Exception):
    """The reason, for the user."""


def _read(name):
    try:
        with open(f"{_SOURCE}/{name}", encoding="utf-8-sig") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"{name} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise Refused(f"{name} is no JSON object")
    return value


def _refusal(name, where):
    return Refused(f"'{name}' is {where}: only packages of a registry, and tarballs by https, become a layer; publish it there, or "
                   "deploy with node_modules in the package")


def check_package(package):
    """Errors: Refused, where package.json itself asks for what is of no registry."""
    for kind in ("dependencies", "optionalDependencies"):
        wanted = package.get(kind, {})
        for name, spec in wanted.items() if isinstance(wanted, dict) else ():
            if isinstance(spec, str) and _ELSEWHERE.match(spec.strip()):
                raise _refusal(name, spec.strip())


def packages_of(lock):
    """{place: entry} of what a lock has installed, dev dependencies left out. Errors: Refused."""
    version, packages = lock.get("lockfileVersion"), lock.get("packages")
    if not isinstance(version, int) or version < _LOCK_VERSION_MIN:
        raise Refused(f"it is of lockfileVersion {version}, {_LOCK_VERSION_MIN} or 3 is needed: npm install of npm 7 or newer writes it anew")
    if not isinstance(packages, dict) or not all(isinstance(entry, dict) for entry in packages.values()):
        raise Refused("it has no list of packages: run npm install, and deploy again")
    wanted = {place: entry for place, entry in packages.items() if place != "" and entry.get("dev") is not True}
    for place, entry in wanted.items():
        name, resolved = place.rpartition("node_modules/")[2], entry.get("resolved")
        if entry.get("link") or not place.startswith("node_modules/"):
            raise _refusal(name, f"a folder ({resolved if entry.get('link') else place})")
        if resolved is not None and not re.match(r"https?://", str(resolved)):
            raise _refusal(name, resolved)
    return wanted


def _told(said):
    """(code, lines) of what npm says of its failure; npm 9 writes "npm ERR!", later ones "npm error"."""
    lines = [found.group(1).strip() for line in said if (found := re.match(r"npm (?:ERR!|error)(.*)", line))]
    code = next((line[5:].strip() for line in lines if line.startswith("code ")), "")
    return code, [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "path ", "A complete log"))]


# What npm's codes mean for the user; the first that is found counts. "{}": npm's own words.
_MEANINGS = (
    (r"EUSAGE", "it and package.json do not agree ({}): run npm install, and deploy again"),
    (r"E404|ETARGET", "the registry has no such package or version ({})"),
    (r"E40[13]|ENEEDAUTH", "the registry refuses us ({})"),
    (r"EBADPLATFORM", "a package is not for this machine ({})"),
    (r"ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR", "the registry cannot be reached ({})"),
    (r"\w*CERT\w*|UNABLE_TO_\w+|ERR_TLS\w*", "the registry shows a certificate that this node does not trust ({})"),
    (r"ENOSPC", "the node's disk is full ({})"),
)


def _wrong_package(line, packages):
    """Whose bytes are not those of its hash: npm names the hashes only."""
    found = re.search(r"wanted (\S+) but got (\S+)", line)
    for place, entry in packages.items() if found else ():
        if entry.get("integrity") == found.group(1):
            return f"'{place.rpartition('node_modules/')[2]}' {entry.get('version')}"
    return "a package"


def reason_of(said, packages):
    """Of npm's failure, from the lines it wrote."""
    code, lines = _told(said)
    line = next((line for line in lines if re.match(r"Missing: |Invalid: ", line) or "reason: " in line), lines[0] if lines else "no reason was told")
    line = re.sub(r"^(?:404|notarget|notsup|network|JSON\.parse) ", "", line)[:_REASON_CHARACTERS].rstrip(".")
    if code == "EINTEGRITY":
        return f"{_wrong_package(line, packages)} that the registry sends is not the one of the lock ({line})"
    for pattern, meaning in _MEANINGS:
        if re.fullmatch(pattern, code):
            return meaning.format(line)
    return f"npm says {code + ': ' if code else ''}{line}"


def configure():
    """Writes what npm is to know of registries. What of it no line of output may show. Errors: Refused."""
    try:
        with open(f"{_SOURCE}/.npmrc", encoding="utf-8-sig") as file:
            lines, shown_never = npmrc.read(file.read(), os.environ)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise Refused(f".npmrc cannot be used: {error}") from None
    descriptor = os.open(_NPMRC, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return shown_never


def run_npm(packages):
    """`npm ci` in OUT, its output told line by line. Errors: Refused."""
    for program, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(program, path=_PATH) is None:
            raise Refused(f"this machine has no {program}: apt-get install {package}, or deploy with node_modules in the package")
    shown_never = configure()
    given = {name: value for name, value in os.environ.items() if not name.startswith(npmrc.PREFIX)}
    env = {**given, "PATH": _PATH, "UV_USE_IO_URING": "0"}  # io_uring: no sandbox has it
    said = collections.deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(["npm", "ci", *_OPTIONS], cwd=OUT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as npm:
        shown = True
        for line in map(str.rstrip, npm.stdout):
            for secret in shown_never:
                line = line.replace(secret, "***")
            said.append(line)
            shown = shown and _HELP.match(line) is None
            if shown and _NOT_SHOWN.match(line) is None:
                print(line, flush=True)
    if npm.returncode < 0:
        sys.exit(1)  # killed: the launcher knows why, memory most likely
    if npm.returncode != 0:
        raise Refused(reason_of(said, packages))


def copy_below():
    """The layer below, without what lies in npm's place: node_modules at its top, where npm has made one."""
    def in_the_way(folder, names):
        return [name for name in names if folder == _BELOW and os.path.lexists(f"{OUT}/{name}")]

    shutil.copytree(_BELOW, OUT, symlinks=True, ignore=in_the_way, dirs_exist_ok=True)
    os.utime(OUT)  # a layer's age is its own


def main():
    package, lock = _read("package.json"), _read("package-lock.json")
    check_package(package)
    packages = packages_of(lock)
    if packages and os.environ.get("EBB_NETWORK") == "none":
        raise Refused("builds have no network here (build_network): deploy with node_modules in the package")
    if packages:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(f"{_SOURCE}/{name}", f"{OUT}/{name}")
        run_npm(packages)
        for name in ("package.json", "package-lock.json"):
            os.unlink(f"{OUT}/{name}")
    else:
        print("it names no package to install")
    copy_below()


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError, shutil.Error) as error:
        print(f"error: {' '.join(str(error).split())}", flush=True)
        sys.exit(1)
