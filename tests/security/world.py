"""What stands for the world in test_network.py: one process in a network namespace of the test's own that bears every address
and answers on all of them. Started as `nsenter --net=... python3 world.py`; nothing of it is reachable from outside.

TCP 80, 81 and 443: "hello from ADDRESS PORT to PEER", or a redirect for /redirect?URL. UDP 9: notes what comes, told by TCP 9.
UDP and TCP 53: the names below.
"""

import selectors
import socket
import struct
import sys

NAMES = {
    "api.test": ["198.51.100.10", "2001:db8:2::10"],
    "www.api.test": ["198.51.100.12"],
    "other.test": ["198.51.100.11", "2001:db8:2::11"],
    "four.test": ["198.51.100.10"],
    "sneaky.test": ["10.1.2.3", "169.254.169.254", "fd12:3456::7"],
    "port.test": ["198.51.100.13"],
    "big.test": [f"198.51.100.{100 + n}" for n in range(100)],
}
ALIASES = {"alias.test": "api.test"}


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def dns_answer(query, over_tcp):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind, = struct.unpack("!H", query[at + 1:at + 3])
    name = ".".join(labels)
    records = b""
    count = 0
    if name in ALIASES:
        target = encoded(ALIASES[name])
        records += b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 30, len(target)) + target
        count += 1
        owner, name = target, ALIASES[name]
    else:
        owner = b"\xc0\x0c"
    for text in NAMES.get(name, []):
        family, number = (socket.AF_INET6, 28) if ":" in text else (socket.AF_INET, 1)
        if number == kind:
            data = socket.inet_pton(family, text)
            records += owner + struct.pack("!HHIH", number, 1, 30, len(data)) + data
            count += 1
    status = 0 if name in NAMES else 3
    truncated = not over_tcp and len(records) > 1000
    if truncated:
        records, count = b"", 0
    return (query[:2] + struct.pack("!HHHHH", 0x8180 | status | (0x200 if truncated else 0), 1, count, 0, 0) + query[12:at + 5] + records)


def http(connection, noted):
    connection.settimeout(2)
    try:
        request = connection.recv(4096).decode(errors="replace")
        address, port = connection.getsockname()[:2]
        if port == 9:
            body = "\n".join(noted)
        else:
            body = f"hello from {address} {port} to {connection.getpeername()[0]}"
        path = request.split(" ")[1] if " " in request else "/"
        head = "HTTP/1.0 200 OK\r\n"
        if path.startswith("/redirect?"):
            head = f"HTTP/1.0 302 Found\r\nLocation: {path.partition('?')[2]}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    except OSError:
        pass
    connection.close()


def main():
    selector = selectors.DefaultSelector()
    for port in (9, 53, 80, 81, 443):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        selector.register(listener, selectors.EVENT_READ, ("tcp", port))
    for port in (9, 53):
        # One socket for each address: an answer must come from the address that was asked.
        for address in (["198.51.100.53"] if port == 53 else ["198.51.100.10", "2001:db8:2::10"]):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            datagrams = socket.socket(family, socket.SOCK_DGRAM)
            datagrams.bind((address, port))
            selector.register(datagrams, selectors.EVENT_READ, ("udp", port))
    noted = []
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            kind, port = key.data
            if kind == "udp":
                data, peer = key.fileobj.recvfrom(4096)
                if port == 53:
                    key.fileobj.sendto(dns_answer(data, False), peer)
                else:
                    noted.append(f"{data.decode(errors='replace')} from {peer[0]}")
                continue
            connection, _ = key.fileobj.accept()
            if port == 53:
                try:
                    connection.settimeout(2)
                    query = connection.recv(4096)[2:]
                    answer = dns_answer(query, True)
                    connection.sendall(struct.pack("!H", len(answer)) + answer)
                except (OSError, IndexError):
                    pass
                connection.close()
            else:
                http(connection, noted)


if __name__ == "__main__":
    sys.exit(main())
