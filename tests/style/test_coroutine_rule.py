"""co_await stands alone: a statement, the initialiser of a named local, the right side of an assignment, or after co_return.

g++ 12 miscompiles some of the other forms (tests/compiler has reproducers), and a suspension point on a line of its own
is easier to read. The awaited call takes names, literals and moves: no capturing lambda, no {...} aggregate.
"""

import re

import pytest

from tree import code_only, sources, text

# What may stand between the start of a statement and co_await.
BEFORE = re.compile(
    r"""^\s*(?:
        (?:(?:if|while|for|switch)\s*\(.*\)\s*|else\s*|case\b.*:\s*|default\s*:\s*)*      # an un-braced body
        (?:co_return\s+|
           \(void\)\s*|
           (?:\[\[\w+\]\]\s*)?(?:(?:const|constexpr|static|auto)\b\s*)*[\w:<>,\s\*&\[\]]*?[\w\]]+(?:(?:\.|->)\w+|\[[^\]]*\])*\s*=\s*)?
    )$""", re.X | re.S)
LAMBDA = re.compile(r"\[(?!\s*\])[^\]\[]*\]\s*(?:\(|\{|mutable)")
AGGREGATE = re.compile(r"[\w>)\s,(]\{")


def statement_before(code, position):
    """From the last ; { } outside parentheses to the position."""
    depth = 0
    start = position - 1
    while start >= 0:
        c = code[start]
        if c in ")]":
            depth += 1
        elif c in "([":
            depth -= 1
        elif depth == 0 and c in ";{}":
            break
        start -= 1
    return code[start + 1:position]


def awaited(code, position):
    """From co_await to the ; that ends the statement."""
    depth = 0
    for end in range(position, len(code)):
        c = code[end]
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth < 0:
                return code[position:end]
        elif c == ";" and depth == 0:
            return code[position:end]
    return code[position:]


def after_one_operand(expression):
    """True when nothing follows the awaited call (a chain of names, members, template arguments, calls and subscripts)."""
    flat = expression
    while True:
        shorter = re.sub(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", "", flat)
        if shorter == flat:
            break
        flat = shorter
    flat = re.sub(r"<[\w:,\s*&]*>", "", flat.replace("->", "."))
    return re.fullmatch(r"\s*\*?\s*[\w:.\s]*", flat) is not None


def violations(source):
    code = code_only(source)
    found = []
    for match in re.finditer(r"\bco_await\b", code):
        line = code.count("\n", 0, match.start()) + 1
        before = statement_before(code, match.start())
        if before.lstrip().startswith("#define"):
            found.append((line, "co_await in a macro"))
        elif before.count("(") != before.count(")") or before.count("[") != before.count("]"):
            found.append((line, "co_await inside a condition or an argument"))
        elif not BEFORE.match(before):
            found.append((line, f"co_await is an operand after '{before.strip()}'"))
        expression = awaited(code, match.end())
        if LAMBDA.search(expression):
            found.append((line, "a capturing lambda in the awaited call"))
        elif AGGREGATE.search(expression):
            found.append((line, "an aggregate in the awaited call"))
        elif "?" in expression:
            found.append((line, "a conditional in the awaited call"))
        elif not after_one_operand(expression):
            found.append((line, "co_await is an operand"))
    return found


def test_co_await_stands_alone():
    wrong = []
    for path in sources(".h", ".cc", under="src/"):
        if "co_await" in text(path):
            wrong += [f"{path}:{line}: {what}" for line, what in violations(text(path))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("source", [
    "void f() { co_await g(); }",
    "void f() { auto x = co_await g(std::move(a), 3); }",
    "void f() { const Result<std::string> x = co_await g(); }",
    "void f() { x = co_await g(); this->y_ = co_await g(); z[1] = co_await g(); }",
    "void f() { co_return co_await g(); }",
    "void f() { for (int i = 0; i < 3; ++i) co_await g(i); }",
    "void f() { if (x) co_return co_await g(); else co_await h(); }",
    "void f() { auto r = co_await (a() || b()); }",
    "// co_await in a comment (co_await x)\nvoid f();",
    "void f() { auto [a, b] = co_await g(); }",
    "void f() { auto x = co_await g->h(now() + limit); }",
    "void f() { auto x = co_await a.b<std::string>(c[1]).d(e(f)); }",
    "void f() { spawn([]() -> Task<> { co_await g(); }); }",
])
def test_the_rule_accepts(source):
    assert violations(source) == []


@pytest.mark.parametrize("source", [
    "void f() { if (co_await g()) return; }",
    "void f() { while (co_await g()) {} }",
    "void f() { auto x = 1 + co_await g(); }",
    "void f() { h(co_await g()); }",
    "void f() { auto x = co_await g() + 1; }",
    "void f() { auto x = co_await g(1 + 2) == h(3); }",
    "void f() { co_await g({}); }",
    "void f() { auto x = c ? co_await g() : 0; }",
    "void f() { auto x = co_await g(c ? 1 : 2); }",
    "void f() { co_await g([&] { return 1; }); }",
    "void f() { co_await g(Options{.a = 1}); }",
    "void f() { co_await g({1, 2}); }",
    "void f() { return (co_await g()).value(); }",
    "void f() { EBB_CO_TRY(auto x, co_await g()); }",
])
def test_the_rule_refuses(source):
    assert violations(source) != []
