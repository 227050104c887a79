"""Documentation that can be checked is checked: links resolve, tables equal the code they describe."""

import re
import subprocess
import sys

from tree import ROOT, parts, sources, text

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def anchor_of(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def test_relative_links_resolve():
    broken = []
    for path in sources(".md"):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text(path), flags=re.S)
        for match in LINK.finditer(prose):
            target = match.group(1) or match.group(2)
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (ROOT / path.parent / name) if name else ROOT / path
            if not file.exists():
                broken.append(f"{path}: {target}")
            elif anchor and file.suffix == ".md":
                headings = re.findall(r"^#+\s+(.*)$", file.read_text(), re.M)
                if anchor not in {anchor_of(heading) for heading in headings}:
                    broken.append(f"{path}: {target} (no such heading)")
    assert not broken, "\n".join(broken)


def test_limits_page_is_generated_from_the_header():
    run = subprocess.run([sys.executable, "tools/limits_doc.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_exit_codes_page_equals_the_table_in_the_code():
    rows = re.findall(r'Row\{Code::k\w+, "(\w+)", (\d+), (\d+)\}', text(next(p for p in sources(".cc") if str(p) == "src/base/error.cc")))
    assert len(rows) >= 14
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", page, re.M)
    assert sorted(documented) == sorted(rows)


def test_every_part_is_described():
    page = (ROOT / "docs/internals/architecture.md").read_text()
    missing = [part for part in parts() if f"`{part}`" not in page]
    assert not missing, f"docs/internals/architecture.md does not mention {missing}"


def test_example_requirements_are_pinned():
    loose = []
    for path in sources(".txt", under="examples/"):
        if path.name == "requirements.txt":
            for line in text(path).splitlines():
                if line.strip() and not line.startswith("#") and not re.fullmatch(r"[\w.\-]+==[\w.]+", line.strip()):
                    loose.append(f"{path}: {line}")
    assert not loose, "\n".join(loose)


def test_the_shipped_configuration_equals_the_defaults():
    """packaging/ebb.yaml and docs/reference/config.md name exactly the keys of struct Config."""
    header = (ROOT / "src/model/config.h").read_text()
    body = header[header.index("struct Config {"):]
    keys = re.findall(r"^  [\w:<>]+ (\w+)(?: = [^;]*|\{[^;]*\})?;", body[:body.index("bool operator==")], re.M)
    assert len(keys) >= 12
    shipped = re.findall(r"^(\w+):", (ROOT / "packaging/ebb.yaml").read_text(), re.M)
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/config.md").read_text(), re.M)
    assert shipped == keys
    assert documented == keys


def test_every_key_of_a_function_is_documented():
    header = (ROOT / "src/model/function_spec.h").read_text()
    body = header[header.index("struct FunctionSpec {"):]
    fields = set(re.findall(r"^  [\w:<>, ]+ (\w+)(?: = [^;]*|\{[^;]*\})?;", body[:body.index("bool operator==")], re.M))
    fields = fields - {"name", "cpu_millis", "scale", "egress", "batch", "lifecycle", "async"} | {"async.retries", "async.retry_after", "async.max_age"} | {"lifecycle.initialize", "lifecycle.pre_stop", "cpu", "scale.min", "scale.max", "scale.reserve", "scale.windows", "network.egress", "batch.size", "batch.window"}
    page = (ROOT / "docs/reference/ebb-yaml.md").read_text()
    assert set(re.findall(r"^\| `([\w.]+)` \|", page, re.M)) == fields | {"app", "build", "reserve", "max_instances", "functions"}


def test_every_field_of_a_usage_record_is_documented():
    source = (ROOT / "src/model/usage.cc").read_text()
    fields = set(re.findall(r'\{"(\w+)",|object\["(\w+)"\]', source[source.index("boost::json::object held_json"):]))
    fields = {a or b for a, b in fields}
    page = (ROOT / "docs/reference/usage-record.md").read_text()
    documented = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`[^|]*) \|", page, re.M))))
    assert documented == fields


def test_every_metric_is_documented():
    named = set()
    for path in sources(".cc", under="src/"):
        if not path.name.endswith("_test.cc"):
            named |= set(re.findall(r'"(?:# HELP )?(ebb_[a-z_]+)', text(path)))
    metrics = {name for name in named if not name.endswith("_")} - {"ebb_version"}
    page = (ROOT / "docs/reference/metrics.md").read_text()
    documented = set(re.findall(r"`(ebb_\w+)`", "\n".join(re.findall(r"^\| (`ebb_[^|]*) \|", page, re.M))))
    assert documented == metrics


def test_the_tests_that_the_page_of_bad_input_names_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/internals/bad-input.md").read_text())
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert len(named) > 20 and not missing, "\n".join(missing)
