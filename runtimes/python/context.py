"""What a call is told of itself: the handler's second argument, and `ebb.context` of web applications."""

import time


class Context:
    """The handler's second argument, with the names that AWS Lambda gave them."""

    __slots__ = ("request_id", "deadline_ms", "traceparent", "tracestate", "_function")

    def __init__(self, function, meta):
        self._function = function
        self.request_id = meta["request_id"]
        self.deadline_ms = meta["deadline_ms"]
        self.traceparent = meta.get("traceparent")  # W3C Trace Context: what spans of the function's own continue, or None
        self.tracestate = meta.get("tracestate")

    @property
    def aws_request_id(self):
        return self.request_id

    @property
    def app(self):
        return self._function.app

    @property
    def function_name(self):
        return self._function.name

    @property
    def function_version(self):
        return self._function.version

    @property
    def memory_limit_in_mb(self):
        return self._function.memory_bytes >> 20

    @property
    def invoked_function_arn(self):
        function = self._function
        return f"ebb:{function.app}:{function.name}:{function.version}"

    def get_remaining_time_in_millis(self):
        """Until the invocation is ended by its timeout; never below 0."""
        return max(0, self.deadline_ms - time.time_ns() // 1_000_000)

    def __repr__(self):
        return f"Context(request_id={self.request_id!r}, function={self.invoked_function_arn!r})"
