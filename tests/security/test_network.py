"""Checklist line 17, attempted from inside of functions: what `network: egress` must not reach, and what it must.

Nothing is sent to a real address. The whole node runs in a network namespace of the test's own, behind which lies one more,
"the world" (world.py), that bears every address which functions try: public ones (of the ranges for documentation), private,
link-local, metadata. That each of them does answer is checked from the node's own namespace first: a refusal is the filter's.
"""

import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from ebb_node import Node, eventually, running

CLONE_NEWNET = 0x40000000
TAG = f"ebbtest{os.getpid()}"
NODE, WORLD = f"{TAG}-node", f"{TAG}-world"

PUBLIC = ["198.51.100.10", "198.51.100.11", "198.51.100.12", "198.51.100.13", "198.51.100.20", "198.51.100.53", "2001:db8:2::10",
          "2001:db8:2::11", "2001:db8:2::20"]
PRIVATE = ["10.1.2.3", "172.16.5.5", "192.168.7.7", "100.64.9.9", "198.19.255.254", "192.0.0.9", "fd12:3456::7", "fec0::7",
           "64:ff9b::a01:203", "2002:a01:203::1", "10.50.0.1"]
NEVER = ["169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"]
PERMITTED = "10.50.0.1"  # by the node's configuration
NODE_V4, NODE_V6 = "203.0.113.2", "2001:db8:1::2"

PROBE = '''
import errno, os, socket, struct, time, urllib.request

def fetch(host, port=80, timeout=4):
    """What a server says, or the name of the error."""
    try:
        connection = socket.create_connection((host, port), timeout)
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        parts = b""
        while part := connection.recv(4096):
            parts += part
        return parts.decode().rpartition("\\r\\n\\r\\n")[2]
    except socket.gaierror as error:
        return "gaierror"
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)

def follow(url):
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=4).read().decode()
    except OSError as error:
        return "refused: " + str(error)

def names(host, family=0):
    try:
        return sorted({entry[4][0] for entry in socket.getaddrinfo(host, 80, family, socket.SOCK_STREAM)})
    except socket.gaierror as error:
        return "gaierror"

def attempt(work):
    """"allowed", or the name of the errno."""
    try:
        work()
        return "allowed"
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)

def own(family=socket.AF_INET, there="198.51.100.10"):
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((there, 9))
        return probe.getsockname()[0]

def datagram(host, port, data, wait=2, source=None, freebind=False):
    """What comes back for a datagram."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if freebind:
            sender.setsockopt(socket.IPPROTO_IP, 15, 1)
        if source:
            sender.bind((source, 0))
        sender.settimeout(wait)
        sender.sendto(data, (host, port))
        return sender.recv(4096)

def wait_for_visitors(seconds):
    """Serves both families on port 8000 and tells whether anybody came."""
    server = socket.create_server(("::", 8000), family=socket.AF_INET6, dualstack_ipv6=True)
    server.settimeout(seconds)
    try:
        return "visited by " + server.accept()[1][0]
    except TimeoutError:
        return "nobody came"

def probe(event, context):
    return eval(event["body"] if isinstance(event, dict) and "body" in event else event)

probe2 = strict = ports = many = apart = probe
'''
THREADED = "import threading, time\nthreading.Thread(target=time.sleep, args=(100000,), daemon=True).start()\n" + PROBE


def run(*words, check=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done


def enter(path):
    """Moves this thread, and those it starts, to another network namespace."""
    with open(path) as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def build_world():
    for name in (NODE, WORLD):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", NODE, "link", "add", "wan0", "type", "veth", "peer", "name", "node0", "netns", WORLD)
    for name, link, v4, v6 in ((NODE, "wan0", f"{NODE_V4}/24", f"{NODE_V6}/64"), (WORLD, "node0", "203.0.113.1/24", "2001:db8:1::1/64")):
        run("ip", "-n", name, "address", "add", v4, "dev", link)
        run("ip", "-n", name, "address", "add", v6, "dev", link, "nodad")
        run("ip", "-n", name, "link", "set", link, "up")
    run("ip", "-n", NODE, "route", "add", "default", "via", "203.0.113.1")
    run("ip", "-n", NODE, "route", "add", "default", "via", "2001:db8:1::1")
    if not os.path.exists("/proc/sys/net/ipv6/conf/all/force_forwarding"):  # before Linux 6.17 the operator has to permit it for all
        run("ip", "netns", "exec", NODE, "sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    for address in PUBLIC + PRIVATE + NEVER:
        run("ip", "-n", WORLD, "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))


@pytest.fixture(scope="module")
def world():
    """The namespaces and the servers in them; this thread is in the node's from here on."""
    if os.geteuid() != 0:
        pytest.fail("making network namespaces needs root")
    server = None
    home = "/proc/self/task/%d/ns/net" % threading.get_native_id()
    here = os.open(home, os.O_RDONLY)
    try:
        try:
            build_world()
        except (RuntimeError, FileNotFoundError) as error:
            pytest.skip(f"this host makes no network namespaces with veth pairs: {error}")
        script = pathlib.Path(__file__).with_name("world.py")
        server = subprocess.Popen(["nsenter", f"--net=/run/netns/{WORLD}", sys.executable, script], stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "ready\n"
        enter(f"/run/netns/{NODE}")
        yield
    finally:
        ctypes.CDLL(None).setns(here, CLONE_NEWNET)
        os.close(here)
        if server:
            server.kill()
            server.wait()
        for name in (NODE, WORLD):
            run("ip", "netns", "delete", name, check=False)


CONFIG = {"egress_resolvers": ["198.51.100.53"], "egress_allow_private": ["10.50.0.0/16", "169.254.0.0/16"]}


def deploy_all(node):
    """Skips where the host cannot do it, with the words that `ebb deploy` refuses with."""
    done = node.deploy_app(PROBE, {"probe": {"network": "egress"}, "probe2": {"network": "none"}}, app="open", expect=None)
    if done.returncode != 0 and "not to be had on this host" in done.stderr + done.stdout:
        pytest.skip(f"network: egress is not to be had here: {done.stderr}{done.stdout}")
    assert done.returncode == 0, done.stderr + done.stdout + node.serve_log()[-3000:]
    lists = {"strict": ["api.test", "*.api.test", "alias.test", "sneaky.test", "198.51.100.20:80", "2001:db8:2::20"],
             "ports": ["port.test:443"], "many": ["big.test"]}
    node.deploy_app(PROBE, {name: {"network": {"egress": rules}} for name, rules in lists.items()}, app="listed")
    node.deploy_app(PROBE, {"probe": {"network": "egress", "scale": {"max": 1}}}, app="neighbour")


@pytest.fixture(scope="module")
def node(world):
    with running(Node(CONFIG)) as node:
        deploy_all(node)
        yield node


@pytest.fixture
def inside(node):
    """Evaluates an expression in a function."""
    def call(expression, function="open/probe", status=200):
        response = node.call(function, data=expression.encode(), headers={"Content-Type": "text/plain"})
        assert response.status_code == status, response.text
        return response.json() if response.headers["Content-Type"] == "application/json" else response.text
    return call


# --- what is allowed ---


def test_every_target_does_answer_without_the_filter(node):
    for address in PUBLIC + PRIVATE + NEVER:
        with socket.create_connection((address, 80), 5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"hello from" in connection.recv(4096), address


def test_public_hosts_are_reached_by_address_and_by_name(inside):
    assert inside("fetch('198.51.100.10')") == f"hello from ::ffff:198.51.100.10 80 to ::ffff:{NODE_V4}"
    assert inside("fetch('2001:db8:2::10')") == f"hello from 2001:db8:2::10 80 to {NODE_V6}"
    assert inside("names('api.test')") == ["198.51.100.10", "2001:db8:2::10"]
    assert inside("fetch('api.test')").startswith("hello from")
    assert inside("fetch('alias.test', 443)").startswith("hello from")
    assert inside("names('absent.test')") == "gaierror"


def test_long_answers_come_over_tcp(inside):
    assert len(inside("names('big.test', socket.AF_INET)")) == 100


def test_none_reaches_nothing(inside):
    assert inside("fetch('198.51.100.10')", "open/probe2") == "ENETUNREACH"
    assert inside("fetch('2001:db8:2::10')", "open/probe2") == "ENETUNREACH"
    assert inside("names('api.test')", "open/probe2") == "gaierror"


def test_a_function_that_cannot_be_forked_has_a_way_out_too(node, inside):
    node.deploy_app(THREADED, {"apart": {"network": "egress"}}, app="threads")
    assert inside("fetch('api.test')", "threads/apart").startswith("hello from")
    assert inside("fetch('10.1.2.3')", "threads/apart") in REFUSALS
    node.cli("rm", "threads", "--yes")


# --- what is not ---

REFUSALS = {"EHOSTUNREACH", "EACCES", "ENETUNREACH", "ECONNREFUSED", "EPERM"}


@pytest.mark.parametrize("address", [one for one in PRIVATE if one != PERMITTED])
def test_private_ranges_are_refused(inside, address):
    assert inside(f"fetch({address!r})") in REFUSALS


def test_private_ranges_are_reached_where_the_configuration_permits(inside):
    assert inside(f"fetch({PERMITTED!r})").startswith("hello from")


@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_metadata_are_never_reached(inside, address):
    assert inside(f"fetch({address!r})") in REFUSALS  # 169.254.0.0/16 stands in egress_allow_private, in vain


def test_a_name_for_a_forbidden_address_is_no_way_round(inside):
    assert "10.1.2.3" in inside("names('sneaky.test')")
    assert inside("fetch('sneaky.test')") in REFUSALS


def test_ipv4_in_ipv6_clothes_is_the_same_address(inside):
    for address in ("10.1.2.3", "169.254.169.254", NODE_V4):
        assert inside(f"fetch('::ffff:{address}')") in REFUSALS, address


@pytest.fixture
def host_service():
    """Something that listens on every address of the node, its loopback included."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        yield server.getsockname()[1]


def test_the_node_itself_is_not_reached(node, inside, host_service):
    uplinks = json.loads(run("nsenter", f"--net=/run/netns/{NODE}", "ip", "-j", "address").stdout)
    own = [info["local"] for link in uplinks for info in link["addr_info"]]
    assert NODE_V4 in own and NODE_V6 in own and any(address.startswith(("198.18.", "198.19.")) for address in own)
    daemon = int(node.url.rsplit(":", 1)[1])
    for address in own + ["0.0.0.0", "::", "localhost", "198.18.0.1", "fd65:6262::1"]:
        if address.startswith("fe80"):
            continue  # needs the name of an interface: below
        for port in (host_service, daemon):
            with_server = socket.create_connection((address, port), 2) if address in own and port == host_service else None
            assert inside(f"fetch({address!r}, {port})") in REFUSALS, (address, port)
            if with_server:
                with_server.close()
    assert inside(f"fetch('fe80::1%eth0', {host_service})") in REFUSALS | {"EADDRNOTAVAIL", "EINVAL"}


def test_the_gateway_of_sandboxes_answers_nothing_but_names(inside):
    for port in (22, 80, 443, 8080):
        assert inside(f"fetch('198.18.0.1', {port})") in REFUSALS


def test_other_sandboxes_are_not_reached(node, inside):
    for family, there in ((2, "198.51.100.10"), (10, "2001:db8:2::10")):
        address = inside(f"own({family}, {there!r})", "neighbour/probe")
        told = []
        visitor = threading.Thread(target=lambda: told.append(inside("wait_for_visitors(3)", "neighbour/probe")))
        visitor.start()
        time.sleep(0.5)
        assert inside(f"fetch({address!r}, 8000, 1)") in REFUSALS | {"ETIMEDOUT", "TimeoutError"}
        visitor.join()
        assert told == ["nobody came"]


def test_nothing_comes_in_from_outside(node, inside):
    address = inside("own()", "neighbour/probe")
    run("ip", "-n", WORLD, "route", "replace", "198.18.0.0/15", "via", NODE_V4)
    told = []
    visitor = threading.Thread(target=lambda: told.append(inside("wait_for_visitors(3)", "neighbour/probe")))
    visitor.start()
    attempt = f"import socket\nsocket.create_connection(({address!r}, 8000), 1)"
    assert run("nsenter", f"--net=/run/netns/{WORLD}", sys.executable, "-c", attempt, check=False).returncode != 0
    visitor.join()
    run("ip", "-n", WORLD, "route", "delete", "198.18.0.0/15")
    assert told == ["nobody came"]


def test_forwarding_that_was_switched_on_serves_nobody_else(node):
    setting = "/proc/sys/net/ipv4/conf/wan0/forwarding"
    assert run("nsenter", f"--net=/run/netns/{NODE}", "cat", setting).stdout.strip() == "1"
    assert run("nsenter", f"--net=/run/netns/{NODE}", "cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip() == "0"
    run("ip", "-n", NODE, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1", "netns", WORLD)
    try:
        run("ip", "-n", NODE, "address", "add", "198.51.100.200/32", "dev", "lan0")
        run("ip", "-n", NODE, "link", "set", "lan0", "up")
        run("ip", "-n", WORLD, "link", "set", "lan1", "up")
        run("ip", "-n", NODE, "route", "add", "198.51.100.201/32", "dev", "lan0")
        before = links_received(NODE, "lan0")
        run("ip", "-n", WORLD, "route", "add", "198.51.100.201/32", "via", NODE_V4)
        send = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('198.51.100.201', 9))"
        for _ in range(3):
            run("nsenter", f"--net=/run/netns/{WORLD}", sys.executable, "-c", send)
        assert links_received(NODE, "lan0") == before
    finally:
        run("ip", "-n", NODE, "link", "delete", "lan0")
        run("ip", "-n", WORLD, "route", "delete", "198.51.100.201/32", check=False)


def links_received(namespace, link):
    """IPv4 packets that an interface has sent."""
    stats = json.loads(run("ip", "-4", "-j", "-n", namespace, "neighbour", "show", "dev", link).stdout)
    return [entry["dst"] for entry in stats]


def test_no_raw_packet_or_ping_socket_and_no_change_of_the_network(inside):
    for expression in ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)",
                       "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
                       "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)",
                       "socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)",
                       "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)",
                       "socket.socket(socket.AF_INET).setsockopt(0, 19, 1)",  # IP_TRANSPARENT
                       "open('/proc/sys/net/ipv4/ip_forward', 'w')"):
        assert inside(f"attempt(lambda: {expression})") != "allowed", expression
    # RTM_NEWLINK: bring eth0 down. The answer is NLMSG_ERROR with -EPERM.
    told = inside("(lambda s: (s.send(struct.pack('=IHHIIBxHiII', 32, 16, 5, 1, 0, 0, 0, 2, 0, 1)), "
                  "struct.unpack_from('=i', s.recv(4096), 16)[0])[1])(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))")
    assert told == -1


def test_nobody_speaks_with_anothers_address(inside):
    for host, source in (("198.51.100.10", "198.18.3.33"), ("2001:db8:2::10", "2001:db8:9::9"), ("2001:db8:2::10", "fd65:6262::999")):
        inside(f"attempt(lambda: datagram({host!r}, 9, b'forged', 0.3, {source!r}, True))")
    inside("attempt(lambda: datagram('198.51.100.10', 9, b'honest', 0.3))")
    noted = eventually(lambda: (lambda text: text if "honest" in text else None)(inside("fetch('198.51.100.10', 9)")), "the honest datagram")
    assert "forged" not in noted


def test_names_are_asked_of_the_resolver_only(inside):
    query = "bytes.fromhex('000101000001000000000000') + b'\\x03api\\x04test\\0' + bytes.fromhex('00010001')"
    assert inside(f"attempt(lambda: datagram('198.51.100.53', 53, {query}, 1))") != "allowed"
    assert inside("fetch('198.51.100.53', 53)") in REFUSALS
    assert inside(f"len(datagram('198.18.0.1', 53, {query})) > 40") is True


def test_hostile_questions_are_answered_or_dropped(inside):
    for packet in ("b''", "b'x'", "b'\\0' * 12", "os.urandom(600)", "b'\\xff' * 4000",
                   "bytes.fromhex('000101000001000000000000') + b'\\xc0\\x0c\\0\\1\\0\\1'",
                   "bytes.fromhex('000181000001000000000000') + b'\\x03api\\x04test\\0\\0\\1\\0\\1'"):
        inside(f"attempt(lambda: datagram('198.18.0.1', 53, {packet}, 0.2))")
    assert inside("names('four.test', socket.AF_INET)") == ["198.51.100.10"]


def test_a_flood_of_questions_leaves_the_neighbour_its_own(inside):
    inside("[datagram_only.sendto(bytes.fromhex('000101000001000000000000') + b'\\x03api\\x04test\\0\\0\\1\\0\\1', ('198.18.0.1', 53)) "
           "for datagram_only in [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)] for _ in range(5000)] and 'sent'")
    assert inside("names('four.test', socket.AF_INET)", "neighbour/probe") == ["198.51.100.10"]


# --- allow-lists ---


def test_a_list_lets_through_what_is_on_it(inside):
    assert inside("fetch('api.test')", "listed/strict").startswith("hello from")
    assert inside("names('api.test')", "listed/strict") == ["198.51.100.10", "2001:db8:2::10"]
    assert inside("fetch('2001:db8:2::10')", "listed/strict").startswith("hello from")  # that name's other address
    assert inside("fetch('www.api.test')", "listed/strict").startswith("hello from ::ffff:198.51.100.12")
    assert inside("fetch('alias.test')", "listed/strict").startswith("hello from")
    assert inside("fetch('198.51.100.20')", "listed/strict").startswith("hello from")
    assert inside("fetch('2001:db8:2::20', 81)", "listed/strict").startswith("hello from")


def test_a_list_is_not_passed_by_address_name_redirect_or_family(inside):
    inside("names('api.test')", "listed/strict")
    assert inside("fetch('198.51.100.11')", "listed/strict") in REFUSALS
    assert inside("fetch('2001:db8:2::11')", "listed/strict") in REFUSALS
    assert inside("fetch('::ffff:198.51.100.11')", "listed/strict") in REFUSALS
    assert inside("names('other.test')", "listed/strict") == "gaierror"
    assert inside("fetch('198.51.100.20', 81)", "listed/strict") in REFUSALS
    for target in ("http://198.51.100.11/", "http://other.test/", "http://[2001:db8:2::11]/"):
        assert inside(f"follow('http://api.test/redirect?{target}')", "listed/strict").startswith("refused"), target
    assert inside("follow('http://api.test/redirect?http://198.51.100.20/')", "listed/strict").startswith("hello from")


def test_a_listed_name_for_a_forbidden_address_is_no_way_round(inside):
    assert "10.1.2.3" in inside("names('sneaky.test')", "listed/strict")
    for address in ("10.1.2.3", "169.254.169.254", "fd12:3456::7"):
        assert inside(f"fetch({address!r})", "listed/strict") in REFUSALS


def test_a_name_with_a_port_opens_that_port_only(inside):
    assert inside("fetch('198.51.100.13', 443)", "listed/ports") in REFUSALS  # nobody asked for the name yet
    assert inside("fetch('port.test', 443)", "listed/ports").startswith("hello from")
    assert inside("fetch('port.test', 80)", "listed/ports") in REFUSALS
    assert inside("fetch('198.51.100.10')", "listed/ports") in REFUSALS  # what another function's list opened


def test_more_addresses_than_are_taken_fail_closed(inside):
    assert inside("len(names('big.test', socket.AF_INET))", "listed/many") == 100
    reached = inside("[fetch(f'198.51.100.{100 + n}', 80, 0.5) for n in (0, 99)]", "listed/many")
    assert reached[1] in REFUSALS


def test_lists_that_cannot_work_are_refused_at_deploy(node):
    for rule, words in (("10.1.2.3", "egress_allow_private"), ("127.0.0.1", "no function reaches"), ("fd00:ec2::254", "no function reaches"),
                        ("a b", "neither a host name")):
        done = node.deploy_app(PROBE, {"probe": {"network": {"egress": [rule]}}}, app="wrong", expect=None)
        assert done.returncode == 2 and words in done.stderr + done.stdout, done.stderr + done.stdout
    assert node.deploy_app(PROBE, {"probe": {"network": {"egress": ["10.50.0.1"]}}}, app="fine")
    node.cli("rm", "fine", "--yes")


# --- what is left ---


def in_router(node, *words):
    """Runs a command in the namespace between the sandboxes and the node, which only the launcher holds."""
    for name in os.listdir(f"/proc/{node.launcher_pid}/fd"):
        path = f"/proc/{node.launcher_pid}/fd/{name}"
        try:
            if os.readlink(path).startswith("net:"):
                done = run("nsenter", f"--net={path}", "ip", "-j", "link")
                if any(link["ifname"] == "up" for link in json.loads(done.stdout)):
                    return run("nsenter", f"--net={path}", *words).stdout
        except FileNotFoundError:
            continue
    raise AssertionError("the launcher holds no router")


def elements(node):
    """Addresses of sandboxes in the filter's sets."""
    if not shutil.which("nft"):
        pytest.skip("nft is not installed: apt-get install nftables")
    table = json.loads(in_router(node, "nft", "-j", "list", "table", "inet", "ebb"))
    sets = [entry["set"] for entry in table["nftables"] if "set" in entry]
    names = ("open", "nets", "ports", "names", "nameports")
    found = [(one["name"], entry) for one in sets if one["name"][:-1] in names for entry in one.get("elem", [])]
    return {f"{name} {json.dumps(entry['elem']['val'] if 'elem' in entry else entry)}" for name, entry in found}


def test_a_removed_function_leaves_no_interface_and_no_element(node, inside):
    before = elements(node)
    links = len(json.loads(in_router(node, "ip", "-j", "link")))
    node.deploy_app(PROBE, {"probe": {"network": {"egress": ["api.test", "198.51.100.20:80"]}}, "probe2": {"network": "egress"}}, app="brief")
    assert inside("fetch('api.test')", "brief/probe").startswith("hello from")
    assert inside("fetch('api.test')", "brief/probe2").startswith("hello from")
    assert {one.split()[0] for one in elements(node) - before} == {"open4", "open6", "ports4", "names4", "names6"}
    node.cli("rm", "brief", "--yes")
    eventually(lambda: elements(node) <= before, "the end of the elements")
    eventually(lambda: len(json.loads(in_router(node, "ip", "-j", "link"))) <= links, "the end of the interfaces")


def host_state():
    """Interfaces, routes, rules and settings of the node's namespace that Ebb may have made."""
    def inside(*words):
        return run("nsenter", f"--net=/run/netns/{NODE}", *words, check=False).stdout
    settings = [inside("cat", f"/proc/sys/net/{name}").strip()
                for name in ("ipv4/conf/wan0/forwarding", "ipv6/conf/wan0/force_forwarding", "ipv6/conf/all/forwarding")]
    links = [link["ifname"] for link in json.loads(inside("ip", "-j", "link")) if link["ifname"].startswith("ebb")]
    routes = [line for family in ("-4", "-6") for line in inside("ip", family, "route").splitlines() if "ebb" in line]
    tables = inside("nft", "list", "tables").split("\n") if shutil.which("nft") else []
    return {"links": links, "routes": routes, "tables": [line for line in tables if "ebb" in line], "settings": settings}


def test_another_daemon_and_another_node_on_the_same_host(node, inside):
    os.kill(node.daemon_pid, 9)
    eventually(lambda: node.is_ready(), "the next daemon")
    assert eventually(lambda: inside("fetch('api.test')").startswith("hello from"), "a way out again")
    with running(Node(CONFIG)) as other:
        other.deploy_app(PROBE, {"probe": {"network": "egress"}}, app="open")
        reply = other.call("open/probe", data=b"fetch('api.test') + ' as ' + own()", headers={"Content-Type": "text/plain"}).text
        assert reply.startswith("hello from")
        theirs = reply.rpartition(" as ")[2]
        assert inside(f"fetch({theirs!r}, 8000, 1)") in REFUSALS
        assert len(host_state()["links"]) == 2
    assert eventually(lambda: len(host_state()["links"]) == 1, "the end of the other node's interface")
    assert inside("fetch('api.test')").startswith("hello from")


@pytest.mark.parametrize("kill", [False, True])
def test_a_node_that_ends_leaves_nothing_on_the_host(world, kill):
    before = host_state()
    with running(Node(CONFIG)) as node:
        deploy_all(node)
        assert host_state() != before
        node.stop(kill=kill)
        after = ("links", "routes", "tables", *(() if kill else ("settings",)))
        eventually(lambda: all(host_state()[key] == before[key] for key in after), f"the host as it was: {before}")


def test_a_host_that_cannot_have_it_refuses_the_deployment_with_the_remedy(world):
    run("ip", "-n", NODE, "route", "add", "10.77.0.0/16", "via", "203.0.113.1")
    try:
        with running(Node({**CONFIG, "egress_ipv4": "10.77.1.0/24"})) as node:
            before = host_state()
            done = node.deploy_app(PROBE, {"probe": {"network": "egress"}}, app="open", expect=None)
            assert done.returncode == 8, done.stderr + done.stdout
            assert "not to be had on this host" in done.stderr + done.stdout and "egress_ipv4" in done.stderr + done.stdout
            assert host_state() == before and node.functions() == {}
            node.deploy_app(PROBE, {"probe": {"network": "none"}}, app="open")
    finally:
        run("ip", "-n", NODE, "route", "delete", "10.77.0.0/16")
