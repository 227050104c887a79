"""The peers' programs, pinned, below build/bench/peers: the clients of npm, pip, Go and Debian fetch and check them.

Each function returns {"command": the program's path, "version": what it says of itself}, or raises Missing with the reason,
which the result names. Nothing is installed into the system. of-watchdog is in none of these registries as a program; it is taken
from $PATH where the machine has it.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from lambda_clients import EMULATOR

GUNICORN = "gunicorn==23.0.0"
AWSLAMBDARIC = "awslambdaric==4.2.2"
FASTAPI = "fastapi==0.165.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0"
_HERE = pathlib.Path(__file__).resolve().parent
_SDK = _HERE.parents[1] / "sdk/cpp/include"
_PATIENCE = 1500


class Missing(Exception):
    """Why a peer cannot be measured here."""


def _run(what, command, **options):
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=_PATIENCE, check=False, **options)
    except FileNotFoundError:
        raise Missing(f"{what}: no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{what}: {command[0]} did not end within {_PATIENCE} s") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{what}: {' '.join(map(str, command[:3]))} failed: {' / '.join(last)[:400]}")
    return (done.stdout + done.stderr).strip()


def python_package(out, name, packages):
    """A virtual environment of its own with one package, or several; its folder of programs."""
    folder = out / "peers" / name
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != packages:
        print(f"installing {packages} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run(name, ["/usr/bin/python3", "-m", "venv", folder])
        _run(name, [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", *packages.split()])
        stamp.write_text(packages)
    return folder / "bin"


def gunicorn(out):
    return {"command": python_package(out, "gunicorn", GUNICORN) / "gunicorn", "version": GUNICORN}


def fastapi(out):
    return {"command": python_package(out, "fastapi", FASTAPI) / "uvicorn", "version": FASTAPI}


def workerd(out):
    folder = out / "peers/workerd"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (_HERE / "workerd/package-lock.json").read_text()
    stamp = folder / "installed.json"
    # The program itself: bin/workerd is a node script where npm may not run the package's install script.
    found = list(folder.glob("node_modules/@cloudflare/workerd-linux-*/bin/workerd"))
    if not found or not stamp.exists() or stamp.read_text() != lock:
        print(f"installing workerd into {folder}", flush=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / "workerd" / name, folder / name)
        # Not `npm ci`: it refuses a lock that leaves out other systems' optional packages. What is locked is checked all the same.
        _run("workerd", ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
        stamp.write_text(lock)
        found = list(folder.glob("node_modules/@cloudflare/workerd-linux-*/bin/workerd"))
    if not found:
        raise Missing("workerd: the npm package has no program for this machine")
    return {"command": found[0], "version": _run("workerd", [found[0], "--version"])}


def nginx(out):
    """Debian's nginx, unpacked: an installed one would be started as a service."""
    folder = out / "peers/nginx"
    binary = folder / "usr/sbin/nginx"
    if not binary.exists():
        print(f"unpacking Debian's nginx into {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        _run("nginx", ["apt-get", "download", "nginx"], cwd=folder)
        _run("nginx", ["dpkg-deb", "-x", next(folder.glob("nginx_*.deb")), folder])
    package = next((path.name for path in folder.glob("nginx_*.deb")), "")
    return {"command": binary, "version": f"{_run('nginx', [binary, '-v'])} ({package})"}


def _require_go(what):
    told = _run(what, ["go", "version"])
    if (found := re.search(r"go(\d+)\.(\d+)", told)) and (int(found[1]), int(found[2])) < (1, 21):
        raise Missing(f"{what}: {told} cannot fetch the toolchain that it wants; go 1.21 or newer can")


def lambda_rie(out):
    """Built from its Go module, whose sums Go's own database vouches for."""
    version = EMULATOR.rpartition("@")[2]
    binary = out / "peers/bin" / version / "aws-lambda-rie"
    if not binary.exists():
        print("building aws-lambda-rie", flush=True)
        _require_go("aws-lambda-rie")
        _run("aws-lambda-rie", ["go", "install", "-trimpath", EMULATOR], env={**os.environ, "GOBIN": str(binary.parent), "GOTOOLCHAIN": "auto"})
    return {"command": binary, "version": version}


def queue_proxy(out):
    binary = out / "peers/bin/queue-proxy"
    version = re.search(r"knative.dev/serving (v\S+)", (_HERE / "knative/go.mod").read_text()).group(1)
    if not binary.exists():
        print("building Knative's queue-proxy, some minutes the first time", flush=True)
        _require_go("queue-proxy")
        _run("queue-proxy", ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s", "-o", binary, "knative.dev/serving/cmd/queue"],
             cwd=_HERE / "knative", env={**os.environ, "GOTOOLCHAIN": "auto"})
    return {"command": binary, "version": f"knative.dev/serving {version}"}


def compiler():
    return _run("native functions", ["g++", "--version"]).splitlines()[0]


def native_functions(out):
    """The functions in C++, built anew: a folder to deploy. `burn` has OpenSSL's SHA-256, as Python's has."""
    folder = out / "peers/native"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_HERE / "native/ebb.yaml", folder)
    for name, libraries in (("hello", ()), ("burn", ("-lcrypto",))):
        _run("native functions", ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-static-libstdc++", "-static-libgcc", "-fPIC", "-shared",
                                  f"-I{_SDK}", "-o", folder / f"{name}.so", _HERE / f"native/{name}.cc", *libraries])
    return folder


def from_path(*names):
    """A program that the machine has to bring."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise Missing(f"{names[0]}: not in $PATH, and no registry that this bench installs from has it as a program")
    binary = pathlib.Path(found).resolve()
    told = ""
    if shutil.which("go"):
        built = subprocess.run(["go", "version", "-m", str(binary)], capture_output=True, text=True, check=False).stdout
        told = " ".join(re.findall(r"^\s+mod\s+(\S+)\s+(\S+)", built, re.MULTILINE)[0]) if "\tmod\t" in built else ""
    return {"command": binary, "version": f"{told} sha256 {hashlib.sha256(binary.read_bytes()).hexdigest()[:16]}".strip()}
