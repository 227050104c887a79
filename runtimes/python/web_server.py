"""A web server of the user's in an instance (`runtime: http`): any program that listens on $PORT and speaks HTTP/1.1.

It is ready when it accepts connections (under the contract of Function Compute, fc.py: on port 9000, and once it has said that it is
initialized). The daemon then speaks to it itself, over connections into the instance's network
(src/node/invocation_program.cc); the instance ends with it. Where there is none that it could connect to (a user-space
kernel) requests come as frames and are passed on here, one after the other over a connection that is kept; an answer whose
length is not known, or large, goes back piece by piece as it comes.
"""

import http.client
import select
import socket
import time

from . import fc, loading, program, results, trace, wire

_HOST = "127.0.0.1"
_END_SECONDS = 0.1
_WHOLE_BYTES = 1024 * 1024  # an answer up to this long, of known length, goes out in one frame
_OF_ONE_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "http2-settings", "expect")
)
_SAID_ANEW = frozenset(("content-length", "x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto"))


def free_port():
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return probe.getsockname()[1]


def _address_of(text):
    """"0100007F:1388" of /proc/net/tcp as "127.0.0.1:5000"."""
    words, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    host = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    return f"{host}:{int(port, 16)}" if len(packed) == 4 else f"[{host}]:{int(port, 16)}"


def listening():
    """Where anything listens in this network namespace."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                rows = [line.split() for line in lines][1:]
        except OSError:
            continue
        for row in rows:
            if row[3] == "0A":
                found.add(_address_of(row[1]))
    return found


class Server:
    def __init__(self, function):
        self._function = function
        self._words = program.words_of(function)
        self._command = program.name_of(function) or loading.TASK + "/bootstrap"
        if not self._words:
            program.check_file(self._command)
            self._words = [self._command]
        self._program = None
        self._initialized = False
        self._port = 0
        self._connection = None

    def start(self):
        """Starts the program and waits until it accepts connections. Errors: loading.LoadError."""
        settings = self._function.fc
        self._port = fc.PORT if settings is not None and settings.own_network else free_port()
        env = {} if settings is None else fc.environment(self._function, self._port)
        self._program = program.Program(self._function, self._words, {"PORT": str(self._port), **env})
        self._await_it()
        if settings is not None:
            fc.initialize(self._function, self._port)
        self._initialized = True

    def _await_it(self):
        limit, pause = time.monotonic() + program.START_SECONDS, 0.001
        while not self._accepts():
            self._program.fail_if_ended()
            if time.monotonic() > limit:
                raise loading.LoadError("NotListening", self._why_not())
            time.sleep(pause)
            pause = min(pause * 1.3, 0.05)

    @property
    def port(self):
        return self._port

    def end_with_it(self):
        self._program.end_with_it()

    def stop(self):
        self._drop_connection()
        if self._program is not None:
            says_farewell = self._initialized and self._function.fc is not None
            self._program.stop((lambda: fc.pre_stop(self._function, self._port)) if says_farewell else None)
            self._program = None
            self._initialized = False

    def _accepts(self):
        probe = socket.socket()
        try:
            probe.settimeout(1.0)
            return probe.connect_ex((_HOST, self._port)) == 0
        except TimeoutError:
            return False
        finally:
            probe.close()

    def _why_not(self):
        places = sorted(listening())
        where = f"; it listens on {', '.join(places)}" if places else ""
        return (
            f"`{self._command}` does not accept connections on port {self._port} after {program.START_SECONDS:.0f} s{where}: "
            f"let it listen on 127.0.0.1 or 0.0.0.0, port {'$FC_SERVER_PORT' if self._function.fc is not None else '$PORT'}"
        )

    def _drop_connection(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self):
        """A connection on which nothing is under way. One that the program has closed meanwhile is not used again."""
        connection = self._connection
        if connection is not None and (connection.sock is None or select.select([connection.sock], (), (), 0)[0]):
            self._drop_connection()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(_HOST, self._port)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def answer(self, answer, request, context):
        """Errors: trace.Reported when the program breaks off; those of stream.Stream."""
        try:
            connection = self._connected()
            self._send(connection, request)
            response = connection.getresponse()
            answer.head = results.Head(response.status, self._headers_of(response))
            self._pass_on(answer, response)
        except (http.client.HTTPException, ConnectionError) as error:
            self._drop_connection()
            raise self._failure(error) from None
        if response.will_close or not response.isclosed():
            self._drop_connection()

    def _send(self, connection, request):
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        headers = request.headers
        for name, value in headers.items():
            if name not in _OF_ONE_CONNECTION and name not in _SAID_ANEW:
                connection.putheader(name, value.encode())
        if "host" not in headers:
            connection.putheader("host", f"{_HOST}:{self._port}")
        for name, value in (("host", request.host), ("proto", request.scheme), ("prefix", request.prefix)):
            if value or name != "prefix":
                connection.putheader(f"x-forwarded-{name}", value.encode())
        before = headers.get("x-forwarded-for")  # whoever has been there before stands in front, true or not
        connection.putheader("x-forwarded-for", f"{before}, {request.client}".encode() if before else request.client)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("content-length", str(len(request.body)))
        connection.endheaders(request.body or None)

    @staticmethod
    def _headers_of(response):
        headers = []
        for name, value in response.headers.raw_items():
            if name.lower() not in _OF_ONE_CONNECTION:
                headers.append([name, value.replace("\r\n", "")])  # an obsolete folded line
        return headers

    def _pass_on(self, answer, response):
        if response.length is not None and response.length <= _WHOLE_BYTES:
            answer.whole = response.read()
            return
        while block := response.read1(wire.STREAM_PIECE_BYTES):
            answer.send(block)
            if answer.wants_no_more:
                self._drop_connection()
                return
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    @staticmethod
    def _failure(error):
        time.sleep(_END_SECONDS)  # this process ends with a program that crashed, a moment after its connections close
        if isinstance(error, http.client.RemoteDisconnected):
            return trace.Reported("BadAnswer", "the program closed the connection without an answer")
        if isinstance(error, http.client.IncompleteRead):
            return trace.Reported("BadAnswer", "the program broke its answer off")
        return trace.Reported("BadAnswer", f"the program's answer is no HTTP/1.1: {type(error).__name__}: {error}")
