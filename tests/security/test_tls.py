"""TLS with real clients: requests, openssl and the command line. Certificates are made for the test; all traffic is on the loopback."""

import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess
import time

import pytest
import requests
from ebb_node import PATIENCE, Node, adopt_orphans, eventually, running

ECHO = "def handler(event, context):\n    return {'statusCode': 200, 'body': event.get('body', ''), 'isBase64Encoded': event.get('isBase64Encoded', False)}\n"


def certificate(folder, name, days=2):
    """A self-signed certificate for 127.0.0.1 and its key, readable as the daemon needs it."""
    folder = pathlib.Path(folder)
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days), "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    key.chmod(0o644)  # of a key made for this test only
    return cert, key


class TlsNode(Node):
    def __init__(self):
        super().__init__()
        self.cert, self.tls_key = certificate(self.directory, "first")
        self.verify = str(self.cert)
        self.config.update(tls_certificate=str(self.cert), tls_key=str(self.tls_key))

    def environment(self, changes=None):
        return {**super().environment(changes), "EBB_CA_FILE": str(self.cert), **(changes or {})}

    @property
    def address(self):
        host, port = self.url.removeprefix("https://").rsplit(":", 1)
        return host, int(port)


@pytest.fixture(scope="module")
def node():
    with running(TlsNode()) as node:
        node.deploy_function(ECHO)
        yield node


def s_client(node, *options, data=b""):
    host, port = node.address
    return subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", node.cert, "-verify_return_error", *options], input=data,
                          capture_output=True, timeout=30 * PATIENCE, check=False)


def test_functions_and_the_command_line_over_tls(node):
    assert node.url.startswith("https://")
    answer = node.call("app/f", data=b"over tls")
    assert answer.status_code == 200 and answer.text == "over tls"
    big = os.urandom(3 << 20)
    assert node.call("app/f", data=big, headers={"Content-Type": "application/octet-stream"}).content == big
    assert "app/f" in node.functions()  # as root, the local key by itself
    assert json.loads(node.cli("invoke", "app/f", "--data", '{"body": "direct"}').stdout)["body"] == "direct"


def test_many_requests_on_one_connection(node):
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(node.cert)
        for number in range(50):
            assert session.post(node.url + "/fn/app/f", data=str(number)).text == str(number)


def test_the_command_line_refuses_a_certificate_it_does_not_know(node, tmp_path):
    other, _ = certificate(tmp_path, "other")
    for changes in ({"EBB_CA_FILE": ""}, {"EBB_CA_FILE": str(other)}):
        done = node.cli("ls", expect=4, env=changes)
        assert "not trusted" in done.stderr and "--ca-file" in done.stderr
    missing = node.cli("ls", expect=3, env={"EBB_CA_FILE": str(tmp_path / "none")})
    assert "none" in missing.stderr


@pytest.mark.parametrize("options, version", [(["-tls1_2"], "TLSv1.2"), (["-tls1_3"], "TLSv1.3")])
def test_modern_protocols_are_spoken(node, options, version):
    done = s_client(node, *options, "-alpn", "h2,http/1.1", data=b"GET /healthz HTTP/1.0\r\n\r\n")
    text = done.stdout.decode(errors="replace")
    assert version in text and "ALPN protocol: http/1.1" in text and "Verify return code: 0" in text, text + done.stderr.decode()


@pytest.mark.parametrize("options", [["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
                                     ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
                                     ["-alpn", "h2"]])
def test_what_is_weak_or_not_spoken_is_refused(node, options):
    assert s_client(node, *options).returncode != 0


def test_plain_http_to_the_tls_port_gets_nothing_and_disturbs_nothing(node):
    with socket.create_connection(node.address, 10 * PATIENCE) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(4096)
    assert node.is_ready()


def test_a_handshake_that_does_not_come_is_ended(node):
    """Two clients that say nothing, or half a word: both are put out by the handshake's deadline."""
    began = time.monotonic()
    silent = socket.create_connection(node.address, 60 * PATIENCE)
    half = socket.create_connection(node.address, 60 * PATIENCE)
    half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    with silent, half:
        for waiting in (silent, half):
            try:
                assert waiting.recv(1) == b""
            except ConnectionResetError:
                pass
    assert time.monotonic() - began >= 5  # it was the deadline, not a refusal
    assert node.is_ready()


def test_limits_hold_over_tls(node):
    context = ssl.create_default_context(cafile=node.cert)
    connection = http.client.HTTPSConnection(*node.address, context=context, timeout=30 * PATIENCE)
    connection.request("GET", "/fn/app/f", headers={"X-Big": "x" * 20_000})
    assert connection.getresponse().status == 431
    connection.close()
    # Too large: refused by its announced length, before it is sent.
    connection = http.client.HTTPSConnection(*node.address, context=context, timeout=30 * PATIENCE)
    connection.putrequest("POST", "/fn/app/f")
    connection.putheader("Content-Length", str(40 << 20))
    connection.endheaders()
    connection.send(b"x" * 100_000)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_leaves_cancels_its_call(node):
    node.deploy_function("import time\ndef handler(event, context):\n    time.sleep(60)\n", name="slow", app="slow")
    context = ssl.create_default_context(cafile=node.cert)
    connection = http.client.HTTPSConnection(*node.address, context=context, timeout=30 * PATIENCE)
    connection.request("GET", "/fn/slow/slow")
    eventually(lambda: node.functions("slow")["slow/slow"]["instances"]["busy"] == 1, "the call to run")
    connection.close()
    eventually(lambda: node.functions("slow")["slow/slow"]["instances"]["busy"] == 0, "the call's end")


def test_a_renewed_certificate_is_taken_without_a_restart(node, tmp_path):
    def serial():
        return ssl.get_server_certificate(node.address)
    before = serial()
    # One that cannot be used leaves the old one in place.
    keep = node.tls_key.read_bytes()
    node.tls_key.write_bytes(b"no key")
    eventually(lambda: "certificate_not_renewed" in node.serve_log(), "the complaint", 30)
    assert serial() == before
    node.tls_key.write_bytes(keep)
    cert, key = certificate(tmp_path, "second")
    node.tls_key.write_bytes(key.read_bytes())
    node.cert.write_bytes(cert.read_bytes())
    eventually(lambda: serial() != before, "the new certificate", 40)
    assert requests.get(node.url + "/healthz", verify=str(node.cert), timeout=10).status_code == 200


@pytest.mark.parametrize("broken, word", [({"tls_key": "/nonexistent/key"}, "tls_key"), ({"tls_certificate": "/nonexistent/crt"}, "tls_certificate")])
def test_files_that_cannot_be_used_end_the_start_with_their_name(broken, word):
    adopt_orphans()
    node = TlsNode()
    node.config.update(broken)
    try:
        with pytest.raises(AssertionError):
            node.start(ready_within=3)
        assert word in node.serve_log() and "readable by the daemon's account" in node.serve_log()
    finally:
        node.stop(kill=True)
        node.remove()


@pytest.mark.parametrize("fresh_node", [{"listen": "0.0.0.0:0"}], indirect=True)
def test_listening_beyond_the_loopback_without_tls_is_warned_about(fresh_node):
    assert "listening_in_the_clear" in fresh_node.serve_log()
