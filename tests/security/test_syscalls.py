"""What may be called from inside, number by number: the kernel's answer equals the table src/os/syscalls.def.

A function forks one child per attempt, in an instance, in its zygote (while its module loads) and in a build. Nothing is
skipped: a call that blocks is ended by a timer and one that ends the process is seen ending it, and both count as allowed.
"""

import json
import pathlib
import re
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

ATTEMPTS = '''
import ctypes, errno, mmap, os, signal

libc = ctypes.CDLL(None, use_errno=True)

def in_child(body):
    """What became of a child that runs body(): "allowed" or why not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 2)
        try:
            said = body()
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 1000).decode()
    os.close(read)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return "SIGSYS"
    return said or "allowed"

def attempt(number, arguments):
    def body():
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
        if result == 0 and number in FORKS:
            os._exit(0)
        code = ctypes.get_errno() if result == -1 else 0
        return errno.errorcode[code] if code in (errno.EPERM, errno.ENOSYS) else "allowed"
    return in_child(body)

def int80(number):
    """A call by the door of 32-bit programs: mov eax, number; int 0x80; ret."""
    def body():
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes([0xb8]) + number.to_bytes(4, "little") + bytes([0xcd, 0x80, 0xc3]))
        ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        return "returned"
    return in_child(body)

def sweep():
    return [attempt(number, arguments) for number, arguments in CASES]
'''


class Table:
    """src/os/syscalls.def, and what it says of a call."""

    def __init__(self):
        text = re.sub(r"//[^\n]*", "", (ROOT / "src/os/syscalls.def").read_text().split("clang-format off")[1].split("clang-format on")[0])
        names = lambda macro: set(re.findall(rf"\b{macro}\((\w+)\)", text))  # noqa: E731
        self.allowed, self.fork_only = names("EBB_ALLOW"), names("EBB_FORK_ONLY")
        self.refused = names("EBB_REFUSE") | names("EBB_REFUSE_TWICE")
        rules = re.findall(r"\b(EBB_ALLOW_IF|EBB_REFUSE_IF)\((?:(k\w+), )?(\w+), ((?:EBB_\w+\([^()]*(?:\([^()]*\))?[^()]*\)(?:, )?)+)\)", text)
        assert len(rules) == len(re.findall(r"\bEBB_(?:ALLOW|REFUSE)_IF\(", text))
        self.rules = [(kind, who, name, re.findall(r"EBB_(ARG|WORD|NONE|ALL)\((\d), ([^)]+)\)", conditions)) for kind, who, name, conditions in rules]
        self.numbers = numbers()
        self.names = {number: name for name, number in self.numbers.items()}

    def holds(self, conditions, arguments):
        def one(kind, index, words):
            value, argument = value_of(words) & MASK64, arguments[int(index)] & MASK64
            return {"ARG": argument & MASK32 == value & MASK32, "WORD": argument == value, "NONE": argument & value == 0, "ALL": argument & value == value}[kind]
        return all(one(*condition) for condition in conditions)

    def answer(self, who, number, arguments):
        """"allowed", or the errno, of a call by an "instance", "zygote" or "build"."""
        name = self.names.get(number)
        if name in self.refused or (name in self.fork_only and who != "zygote"):
            return "EPERM"
        if any(kind == "EBB_REFUSE_IF" and name == call and self.holds(conditions, arguments) for kind, _, call, conditions in self.rules):
            return "EPERM"
        if name in self.allowed:
            return "allowed"
        if any(kind == "EBB_ALLOW_IF" and name == call and (scope == "kEvery" or who == "zygote") and self.holds(conditions, arguments)
               for kind, scope, call, conditions in self.rules):
            return "allowed"
        return "EPERM" if name == "clone" and who == "instance" else "ENOSYS"


MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
CLONE = {"NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000, "NEWUSER": 0x10000000,
         "NEWPID": 0x20000000, "NEWNET": 0x40000000}
WALLS = 0x8000 | CLONE["NEWUSER"] | CLONE["NEWNS"] | CLONE["NEWIPC"] | CLONE["NEWUTS"] | 0x1000000 | 0x200000 | 17
MS = {"MS_RDONLY": 1, "MS_NOSUID": 2, "MS_NODEV": 4, "MS_NOEXEC": 8, "MS_REMOUNT": 32, "MS_BIND": 4096, "MS_MOVE": 8192, "MS_REC": 16384,
      "MS_UNBINDABLE": 1 << 17, "MS_PRIVATE": 1 << 18, "MS_SLAVE": 1 << 19, "MS_SHARED": 1 << 20}
WORDS = {"EBB_CLONE_NAMESPACES": sum(CLONE.values()), "EBB_CLONE_FUNCTION": WALLS | CLONE["NEWNET"], "EBB_CLONE_INSTANCE": WALLS | CLONE["NEWPID"],
         "CLONE_NEWNET": CLONE["NEWNET"], "AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17,
         "TIOCSTI": 0x5412, "TIOCLINUX": 0x541c, "EBB_MOVE_MOUNT_F_EMPTY_PATH": 4, **MS}


def value_of(words):
    value = 0
    for word in words.split("|"):
        value |= WORDS[word.strip()] if word.strip() in WORDS else int(word, 0)
    return value


def numbers():
    """{name: number} of this machine's kernel headers."""
    listed = subprocess.run(["cc", "-E", "-dM", "-"], input="#include <sys/syscall.h>", capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", listed, re.M)}


TABLE = Table()
LAST = 511  # well beyond the newest call of any kernel; then a few far ones
EVERY_NUMBER = [*range(LAST + 1), 1023, 4096, 0x3fffffff]

# Arguments that make the kernel's own answer differ from a filter's; else six times -1, which hardly any call accepts.
ARGUMENTS = {"futex": [0, 1, 0, 0, 0, 0]}
# The kernel itself says EPERM, whatever the arguments: setgroups is given up before the ids are mapped; move_mount asks for a
# capability first (that the filter lets a zygote's child have it shows in every fork).
KERNEL_REFUSES = {"setgroups", "move_mount"}
# uretprobe and uprobe of x86-64: the kernel asks no filter about them. Outside of a probe's own trampoline they end in SIGILL or an error.
BEYOND_FILTERS = {335, 336}


def case(name, *arguments):
    return [TABLE.numbers[name], [*arguments, *[0] * (6 - len(arguments))]]


def cases():
    """Every number once, and every call that is judged by its arguments with those that the table names and others."""
    found = [[number, ARGUMENTS.get(TABLE.names.get(number), [-1] * 6)] for number in EVERY_NUMBER]
    found += [case("clone", flag | 17) for flag in CLONE.values()] + [case("clone", 17), case("clone", 0x50f00 | 17)]
    found += [case("clone", word | extra) for word in (WORDS["EBB_CLONE_FUNCTION"], WORDS["EBB_CLONE_INSTANCE"])
              for extra in (CLONE["NEWCGROUP"], CLONE["NEWNET"] | CLONE["NEWPID"] | CLONE["NEWCGROUP"])]
    found += [case("clone", (WORDS["EBB_CLONE_INSTANCE"] ^ 0x8000) | CLONE["NEWNET"]), case("clone", 1 << 32 | WORDS["EBB_CLONE_INSTANCE"])]
    found += [case("personality", persona) for persona in
              (0, 8, 0x20000, 0x20008, MASK32, 1, 0x40000, 0x100000, 0x200000, 0x400000, 0x800000, 0x1000000, 0x2000000, 0x4000000, 0x20009)]
    found += [case("setrlimit", *what) for limit in range(18) for what in ((limit, -1), (1 << 32 | limit, -1))]
    found += [case("prlimit64", 0, *what) for limit in range(18) for what in ((limit, -1), (1 << 32 | limit, -1), (limit, 0), (limit, 1 << 32))]
    found += [case("socket", family, kind, 0) for family in range(48) for kind in (1, 3)]
    found += [case("socket", 1 << 32 | socket.AF_ALG, 5, 0)]
    found += [case("socket", family, kind, protocol) for family in (2, 10) for kind, protocol in ((1, 6), (2, 17), (1, 132), (5, 132), (1, 262),
                                                                                                 (6, 33), (2, 136), (3, 255), (3, 1))]
    found += [case("socket", 16, 3, protocol) for protocol in range(23)]
    found += [case("socketpair", family, 1, 0, -1) for family in (1, 2, 16, 30)]
    found += [case("ioctl", 0, request, -1) for request in (0x5412, 1 << 32 | 0x5412, 0x541c)]
    found += [case("setsockopt", -1, level, name) for level in (0, 41) for name in (64, 65, 1)]
    found += [case("mount", 0, 0, 0, flags, 0) for flags in
              {0, *MS.values(), 2 | 4, 2 | 4 | 8, 1 | 2 | 4 | 8, 4096 | 16384, 32 | 4096, 32 | 4096 | 1, 16384 | 1 << 18, 16384 | 1 << 20, 16384 | 1 << 19,
               1 << 32 | 4096}]
    found += [case("move_mount", -1, 0, -1, 0, flags) for flags in (0, 4, 0x44, 0x104)]
    return found


CASES = cases()
SOURCE = f"FORKS = {[TABLE.numbers[name] for name in ('clone', 'fork', 'vfork') if name in TABLE.numbers]}\nCASES = {CASES}\n{ATTEMPTS}"


def differences(who, results):
    """The attempts whose outcome is not what the table says."""
    assert len(results) == len(CASES)
    wrong = []
    for (number, arguments), result in zip(CASES, results, strict=True):
        name, expected = TABLE.names.get(number, str(number)), TABLE.answer(who, number, arguments)
        result = "allowed" if result not in ("EPERM", "ENOSYS", "SIGSYS") else result
        if number in BEYOND_FILTERS or name in KERNEL_REFUSES and expected == "allowed" and result == "EPERM":
            continue
        if result != expected:
            wrong.append(f"{name}{arguments}: {result}, not {expected}")
    return wrong


@pytest.fixture(scope="module", autouse=True)
def app(node):
    source = SOURCE + "loading = sweep()\ndef instance(event, context):\n    return sweep()\ndef zygote(event, context):\n    return loading\n"
    source += "def foreign(event, context):\n    return eval(event['body'])\n"
    functions = {name: {"timeout": "2m", "handler": f"app.{name}"} for name in ("instance", "zygote", "foreign")}
    node.deploy_app(source, functions)


def test_a01_every_call_in_an_instance(node):
    assert not "\n".join(differences("instance", node.call("app/instance", timeout=120).json()))


def test_a01_every_call_in_a_zygote_while_it_loads(node):
    assert not "\n".join(differences("zygote", node.call("app/zygote", timeout=120).json()))


def test_a01_every_call_in_a_build(node):
    source = SOURCE + "import json\njson.dump(sweep(), open('results.json', 'w'))\n"
    handler = "def handler(event, context):\n    return open('/var/task/results.json').read()\n"
    node.deploy({"ebb.yaml": json.dumps({"app": "built", "build": "python3 sweep.py", "functions": {"f": {"handler": "app.handler"}}}),
                 "app.py": handler, "sweep.py": source})
    assert not "\n".join(differences("build", json.loads(node.call("built/f").text)))


def test_a02_every_dangerous_call_is_named():
    """The table itself: what must never be allowed is refused by name, not by luck."""
    dangerous = {"umount2", "unshare", "setns", "bpf", "perf_event_open", "ptrace", "process_vm_readv", "process_vm_writev",
                 "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "open_by_handle_at", "userfaultfd",
                 "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key", "pivot_root", "chroot"}
    assert dangerous <= TABLE.refused
    assert "clone3" not in TABLE.allowed | TABLE.refused and {"mount", "move_mount"} == TABLE.fork_only
    assert not TABLE.allowed & (TABLE.refused | TABLE.fork_only | {name for kind, _, name, _ in TABLE.rules if kind == "EBB_ALLOW_IF"})


def test_a03_calls_of_x32_kill(node):
    numbers_tried = [*range(0, 470, 7), 512, 520, 547]
    body = f"[attempt(0x40000000 + number, [0] * 6) for number in {numbers_tried}]"
    response = node.call("app/foreign", data=body.encode(), headers={"Content-Type": "text/plain"}, timeout=120)
    assert set(response.json()) == {"SIGSYS"}


def test_a03_calls_of_i386_kill(node):
    body = "[int80(number) for number in (20, 1, 4, 5, 11, 102, 120, 310)]"  # getpid, exit, write, open, execve, socketcall, clone, unshare
    response = node.call("app/foreign", data=body.encode(), headers={"Content-Type": "text/plain"}, timeout=120)
    assert set(response.json()) == {"SIGSYS"}
