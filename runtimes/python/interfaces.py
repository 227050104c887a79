"""How a handler wants to be called: with (event, context), or as a web application.

Told by the parameters that a call has to give by position, `self` left out:

    three that have no default (scope, receive, send)     ASGI: no event handler could be called with two
    two, the second of which is named start_response      WSGI, the name that PEP 3333 uses and every framework
    anything else                                         an event handler

What decides is the callable itself (a function, or the __call__ of an object such as flask.Flask or fastapi.FastAPI),
not what a decorator has wrapped: a handler(event, context, database) whose decorator gives the third is called with two.
`interface` in ebb.yaml says it where this cannot.
"""

import inspect


def _positional(handler):
    """[(name, has a default)] of the parameters that may be given by position; None when nobody can tell."""
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        (parameter.name, parameter.default is not parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.kind in kinds
    ]


def told_by(handler):
    """ "asgi", "wsgi" or "event"."""
    parameters = _positional(handler)
    if parameters is None:
        return "event"
    if len([name for name, has_default in parameters if not has_default]) == 3:
        return "asgi"
    if len(parameters) >= 2 and parameters[1][0] == "start_response":
        return "wsgi"
    return "event"


_WANTED = {
    "event": ("an event handler", ("event", "context")),
    "wsgi": ("a WSGI application", ("environ", "start_response")),
    "asgi": ("an ASGI application", ("scope", "receive", "send")),
}


def kind_of(interface):
    """In words."""
    return _WANTED[interface][0]


def misfit(handler, interface):
    """Why the handler cannot be called that way, or an empty string."""
    kind, arguments = _WANTED[interface]
    try:
        inspect.signature(handler, follow_wrapped=False).bind(*arguments)
    except TypeError:
        return f"is to be called as {kind} with ({', '.join(arguments)}), and takes other parameters: see interface in ebb.yaml"
    except ValueError:
        pass  # nobody can tell
    return ""
