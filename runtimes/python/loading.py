"""Loading a function: its configuration, its module and its handler, with errors that name the file and the remedy."""

import importlib
import json
import os
import sys

from . import interfaces, machines, trace

TASK = "/var/task"


class LoadError(Exception):
    """The function cannot be loaded. `kind` is the type to report; `trace` the user's frames, or empty."""

    def __init__(self, kind, message, trace_text=""):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace_text


class Function:
    """What the configuration says of the function (zygote_protocol.h)."""

    __slots__ = ("app", "name", "version", "kind", "command", "handler", "image", "fc", "interface", "env", "memory_bytes",
                 "timeout_ms", "concurrency", "model", "batch_size", "batch_window_ms", "platform")

    def __init__(self, config):
        fields = json.loads(config)
        self.app = fields["app"]
        self.name = fields["function"]
        self.version = str(fields["version"])
        self.kind = fields.get("kind", "python3")  # or "http", "lambda" or "node": the handler is in a program of its own then; or "model" or "native"
        self.command = fields.get("command", "")
        self.handler = fields["handler"]
        self.image = fields.get("image")  # what is the root instead of the host's system: {"command", "env", "directory"}
        self.fc = None  # of kind "http": fc.Settings, under the contract of Function Compute
        if "fc" in fields:
            from . import fc

            self.fc = fc.Settings(fields["fc"])
        self.interface = fields.get("interface", "auto")  # once loaded: "event", "wsgi", "asgi", "server" or "model"
        self.env = fields.get("env", {})
        self.memory_bytes = int(fields.get("memory_bytes", 0))
        self.timeout_ms = int(fields.get("timeout_ms", 0))
        self.concurrency = int(fields.get("concurrency", 1))  # calls at a time in one instance
        model = fields.get("model", {})
        self.model = model.get("file", "")
        self.batch_size = int(model.get("batch_size", 1))
        self.batch_window_ms = float(model.get("batch_window_ms", 0))
        self.platform = model.get("platform", "")


def _relative(path):
    return os.path.relpath(path, TASK) if path.startswith(TASK + "/") else path


def _near(name, candidates):
    import difflib

    found = difflib.get_close_matches(name, candidates, n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def _module_not_found(error, module):
    wanted = error.name or ""
    if wanted and (module == wanted or module.startswith(wanted + ".")):
        present = sorted(entry[:-3] for entry in os.listdir(TASK) if entry.endswith(".py"))
        listing = ", ".join(name + ".py" for name in present[:8]) or "no .py file"
        return (
            f"the package has no module '{module}': its top has {listing}{_near(module, present)}; "
            "set handler to FILE.FUNCTION in ebb.yaml"
        )
    place = trace.last_frame(error)
    where = f" (imported by {_relative(place[0])} line {place[1]})" if place else ""
    top = wanted.split(".")[0]
    if top in sys.stdlib_module_names:
        return f"no module named '{wanted}'{where}: this Python was built without it"
    return f"no module named '{wanted}'{where}: add its package to requirements.txt"


def _explain(error, module):
    """LoadError for what the import of the user's module raised."""
    text = trace.trace_of(error)
    kind = trace.type_name(error)
    if isinstance(error, SyntaxError):
        where = f"{_relative(error.filename)} line {error.lineno}" if error.filename else module
        return LoadError(kind, f"{where}: {error.msg}", text)
    if isinstance(error, ModuleNotFoundError):
        return LoadError(kind, _module_not_found(error, module), text)
    if isinstance(error, SystemExit):
        return LoadError(kind, f"the module called sys.exit({error.code!r}) while it was being loaded", text)
    place = trace.last_frame(error)
    where = f"{_relative(place[0])} line {place[1]}: " if place else ""
    if isinstance(error, ImportError) and (wrong := machines.misfit_of(error.path)):
        return LoadError(kind, f"{where}{_relative(error.path)} {wrong}", text)
    return LoadError(kind, f"{where}{trace.message_of(error) or kind}", text)


def _attribute(module, path, handler):
    found = module
    for name in path:
        try:
            found = getattr(found, name)
        except AttributeError:
            file = _relative(getattr(found, "__file__", None) or module.__name__)
            names = [n for n in dir(found) if not n.startswith("_")]
            raise LoadError(
                "AttributeError", f"handler '{handler}': {file} has no attribute '{name}'{_near(name, names)}"
            ) from None
    return found


def load(function):
    """The handler; sets the function's interface. Applies env, the search path and the working directory first. Errors:
    LoadError only."""
    os.environ.update({str(name): str(value) for name, value in function.env.items()})
    if function.image is not None:
        return _service_of(function)  # its program lives in the image: none of the image's modules is for us to find
    sys.path.insert(0, TASK)
    os.chdir(TASK)
    sys.argv = [TASK]
    if function.kind != "python3":
        return _service_of(function)
    if function.concurrency > 1:
        from . import several

        several.share_output()
    importlib.invalidate_caches()
    # "pkg/module.attribute" is what people bring from elsewhere.
    module_name, _, attribute = function.handler.replace("/", ".").rpartition(".")
    if not module_name or not attribute:
        raise LoadError("ValueError", f"handler '{function.handler}' is not of the form FILE.FUNCTION")
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        raise _explain(error, module_name) from None
    handler = _attribute(module, [attribute], function.handler)
    if not callable(handler):
        raise LoadError(
            "TypeError",
            f"handler '{function.handler}' is a {type(handler).__name__}, not a function: it cannot be called",
        )
    if function.interface == "auto":
        function.interface = interfaces.told_by(handler)
    elif wrong := interfaces.misfit(handler, function.interface):
        raise LoadError("TypeError", f"handler '{function.handler}' {wrong}")
    if function.concurrency > 1 and function.interface != "asgi":
        raise LoadError(
            "ValueError",
            f"concurrency is {function.concurrency}, and handler '{function.handler}' is {interfaces.kind_of(function.interface)}, which runs 1 call "
            "at a time in an instance: raise scale.max instead, or name an ASGI application",
        )
    return handler


def _service_of(function):
    """What stands for the handler of another runtime; it has start() and stop(). Errors: LoadError."""
    if function.kind == "http":
        from . import web_server

        function.interface = "server"
        return web_server.Server(function)
    if function.kind == "lambda":
        from . import lambda_runtime

        function.interface = "event"
        return lambda_runtime.Handler(function)
    if function.kind == "model":
        from . import model_server

        return model_server.service_of(function)
    if function.kind == "node":
        from . import node_program

        function.interface = "event"
        return node_program.Handler(function)
    if function.kind == "native":
        from . import native

        return native.load(function)
    raise LoadError("ValueError", f"runtime '{function.kind}' is not known here")


def run_hooks(run, name):
    """Runs the user's hooks by `run`. Errors: LoadError."""
    try:
        run()
    except BaseException as error:
        place = trace.last_frame(error)
        where = f" ({_relative(place[0])} line {place[1]})" if place else ""
        raise LoadError(
            trace.type_name(error), f"{name} hook failed{where}: {trace.message_of(error)}", trace.trace_of(error)
        ) from None


def is_async(handler):
    """Whether a call of the handler needs an event loop: also for partials and objects with an async __call__."""
    import inspect

    while hasattr(handler, "func"):
        handler = handler.func
    return any(
        inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        for call in (handler, getattr(handler, "__call__", None))
    )
