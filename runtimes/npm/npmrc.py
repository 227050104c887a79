"""What a package's .npmrc says of registries: which one for which scope, and by what it lets us in.

1. Of its settings those are taken that name a registry or a credential for one; all others (scripts, caches, proxies, programs)
   are left out, for the node decides them.
2. A credential is written as ${NAME} and stands in a secret of the app; one in the clear is refused, since packages are kept.
"""

import base64
import binascii
import json
import re
import urllib.parse

PREFIX = "EBB_NPMRC_"  # of what stands for a variable, in the environment
_REGISTRY = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*:)?registry\Z")
_CREDENTIAL = re.compile(r"//[^\s:/]+(?::\d+)?(?:/[^\s:]*)?:(?:_authToken|_auth|username|_password|email)\Z")
_SECRET = re.compile(r"(?:^|:)_(?:authToken|auth|password)\Z", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_URL = re.compile(r"https?://[^\s]+\Z")


def _text_of(written):
    """Without its quotes, or without the comment behind it."""
    written = written.strip()
    return written.strip("\"'") if written[:1] in ("\"", "'") else re.split("[;#]", written, maxsplit=1)[0].strip()


def _settings(text):
    """[(number, key, value, whether npm heeds it: it heeds no sections)] of lines "key = value"."""
    heeded = True
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        key, equals, value = line.partition("=")
        if line.startswith("["):
            heeded = False
        elif equals and line[0] not in "#;":
            yield number, _text_of(key).removesuffix("[]"), _text_of(value), heeded


def _value_of(name, number, environment):
    value = environment.get(PREFIX + name)
    if value is None:
        secret = name.lower().replace("_", "-")
        raise ValueError(f"line {number} names ${{{name}}}, the app's secret {secret}, which is not set: ebb secret set APP {secret}")
    if not value.isprintable() or value != value.strip():
        raise ValueError(f"what stands for ${{{name}}} has a line break, a space at an end or a control character: set the secret to the token alone")
    if "${" in value:
        raise ValueError(f"what stands for ${{{name}}} has a variable of its own in it, which npm would fill in: set the secret to the token alone")
    return value


def _filled_in(value, number, environment):
    """The value with what stands for its variables. npm fills in whatever variable is left in it, from its environment: none may be."""
    value = _VARIABLE.sub(lambda found: _value_of(found.group(1), number, environment), value)
    if "${" in value:
        raise ValueError(f"line {number} has a variable that is no secret's name: write it as ${{NPM_TOKEN}}, of capital letters, digits and _")
    return value


def _base64(text):
    return base64.b64encode(text.encode()).decode()


def _decoded(value):
    """What it is the base64 of, if it is: of either alphabet and with or without the padding, as Node takes it."""
    value = value.rstrip("=")
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_" if set(value) & set("-_") else None, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _spoken(value):
    """The forms of a credential that may be repeated to us: as it is, what it is the base64 of, and both as a URL and JSON write them."""
    decoded = _decoded(value)
    forms = set()
    for form in (value, decoded, decoded.partition(":")[2]):
        escaped = [json.dumps(form, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
        quoted = [urllib.parse.quote(form, safe=safe) for safe in ("", "/", "!~*'()")]
        forms.update((form, urllib.parse.quote_plus(form), *quoted, *escaped))
    return {form for form in forms if len(form) > 3}


def _logins(settings):
    """What npm shows a host that has a name and a password: "Basic" and the base64 of both."""
    for key, password in settings.items():
        place, is_password, _ = key.partition(":_password")
        if is_password and f"{place}:username" in settings:
            yield _base64(f"{settings[f'{place}:username']}:{_decoded(password)}")


def read(text, environment):
    """(lines for npm, what no output may show). Errors: ValueError, with the line's number and the remedy."""
    settings, shown_never = {}, set()
    for number, key, value, heeded in _settings(text):
        if _SECRET.search(key) and not _VARIABLE.fullmatch(value):  # whoever heeds it: the package is kept
            raise ValueError(f"line {number} has a credential in the clear: write ${{NPM_TOKEN}} there, and set the app's secret npm-token")
        if not heeded:
            continue
        if _CREDENTIAL.match(key):
            if "${" in key:
                raise ValueError(f"line {number} has a variable in the place that a credential is for: write host and path there")
        elif not _REGISTRY.match(key):
            continue
        elif "${" in value or not _URL.match(value) or "@" in value.partition("//")[2].partition("/")[0]:
            raise ValueError(f"line {number}: {key} must be a URL like https://registry.example.com/, without variables and passwords")
        settings[key] = _filled_in(value, number, environment)
        for name in _VARIABLE.findall(value):
            shown_never |= _spoken(_value_of(name, number, environment))
    for login in _logins(settings):
        shown_never |= _spoken(login)
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]  # quoted: npm would end it at ; and #
    return lines, sorted(shown_never, key=len, reverse=True)
