"""An ASGI application (version 3) in an instance: FastAPI, Starlette, Django and the like, without a server.

1. The application is imported in the zygote; its lifespan starts in each instance, after the fork and before the first
   request: what it opens there (connections, threads) belongs to that instance alone.
2. All requests of an instance run on one event loop, one after the other, and between requests the loop stands still; with
   `concurrency` above 1 (several.py) it runs for good, and they run beside each other.
3. An answer ends when the application returns from the call: background tasks run before its last byte. An answer in
   one message goes out whole, any other message by message.
"""

from . import loading, results, trace, web

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_LIFESPAN_ASGI = {"version": "3.0", "spec_version": "2.0"}
_SHUTDOWN_SECONDS = 5.0


def scope_of(request, context, state):
    prefix = request.prefix.encode()
    scope = {
        "type": "http",
        "asgi": dict(_ASGI),
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": (prefix + request.path).decode("utf-8", "replace"),
        "raw_path": prefix + request.raw_path.encode(),
        "query_string": request.query.encode(),
        "root_path": request.prefix,
        "headers": [(name.encode(), value.encode()) for name, value in request.headers.items()],
        "client": (request.client, 0),
        "server": request.server(),
        "extensions": {},
        "ebb.context": context,
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope


class Lifespan:
    """The application's own start and end. One that knows no lifespan raises, which is no error."""

    def __init__(self, application):
        import asyncio

        self.state = {}
        self._application = application
        self._orders = asyncio.Queue()
        self._told = asyncio.Queue()  # the types of what the application says, and None at its end
        self._failure = None
        self._task = None

    async def start(self):
        """Why the start failed, or None."""
        import asyncio

        self._task = asyncio.ensure_future(self._run())
        self._orders.put_nowait({"type": "lifespan.startup"})
        await self._told.get()
        return self._failure

    async def stop(self):
        import asyncio

        if self._task.done():
            return
        self._orders.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait([self._task], timeout=_SHUTDOWN_SECONDS)

    async def _run(self):
        scope = {"type": "lifespan", "asgi": dict(_LIFESPAN_ASGI), "state": self.state}
        try:
            await self._application(scope, self._orders.get, self._send)
        except Exception as error:
            # One that raises before it said anything has no lifespan: that is how an application tells.
            if not self._told.empty() or self._failure is not None:
                trace.report(trace.trace_of(error))
        finally:
            self._told.put_nowait(None)

    async def _send(self, message):
        if message["type"] == "lifespan.startup.failed":
            self._failure = message.get("message") or "it gave no reason"
        self._told.put_nowait(message["type"])


class Exchange:
    """One request and its answer: what the application's receive and send are. `over` is set when the answer is complete;
    whoever knows that the client has left sets it then."""

    def __init__(self, answer, request, over):
        self._answer = answer
        self._body = request.body
        self._given = False
        self._over = over
        self.complete = False

    async def receive(self):
        if not self._given:
            self._given = True
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        kind = message["type"]
        if kind == "http.response.start":
            if self._answer.head is not None:
                raise RuntimeError("http.response.start was sent twice")
            self._answer.head = self._head_of(message)
        elif kind == "http.response.body":
            if self._answer.head is None:
                raise RuntimeError("http.response.body was sent before http.response.start")
            if self.complete:
                raise RuntimeError("http.response.body was sent behind the end of the answer")
            await self._take(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"messages of type {kind!r} are not known here")

    @staticmethod
    def _head_of(message):
        headers = [[web.header_text(bytes(name)), web.header_text(bytes(value))] for name, value in message.get("headers", ())]
        return results.Head(message["status"], headers)

    async def _take(self, body, more):
        if more or self._answer.began:
            await self._answer.send_async(body)
        else:
            self._answer.whole = body
        if not more:
            self.complete = True
            self._over.set()


class Application:
    def __init__(self, application, loop):
        self._application = application
        self._loop = loop
        self._lifespan = None

    def start(self):
        """Errors: loading.LoadError."""
        failure = self._loop.run(self._start())
        if failure is not None:
            raise loading.LoadError("LifespanError", f"the application's lifespan did not start: {failure}")

    async def _start(self):
        self._lifespan = Lifespan(self._application)
        return await self._lifespan.start()

    def stop(self):
        self._loop.run(self._lifespan.stop())

    def answer(self, answer, request, context):
        """Errors: what the application raises; those of stream.Stream."""
        import asyncio

        # A client that goes away takes the instance along: nobody else says that it is over.
        self._loop.run(self.exchange(answer, request, context, asyncio.Event()))

    async def exchange(self, answer, request, context, over):
        """The same, on the loop."""
        exchange = Exchange(answer, request, over)
        scope = scope_of(request, context, self._lifespan.state)
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.complete:
                raise
            trace.report(trace.trace_of(error))  # the client has the application's own answer to it
        if not exchange.complete:
            raise RuntimeError("the application returned without completing its answer")
