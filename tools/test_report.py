"""Adds up JUnit XML files and prints what failed, why tests were skipped, and the one closing line of `./dev test`:
N passed, N failed[, N skipped].

usage: test_report.py FOLDER [FAILED_STAGE...]

A unit-test binary that dies writes no report of its cases, so ctest's report of binaries fills in: one failure for each
binary that failed without saying which case. A stage that failed without any failed case counts as one failure.
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases(file):
    """(name, "passed" | "failed" | "skipped", why it was skipped) of every case in a report."""
    for case in xml.parse(file).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            yield name, "failed", ""
        elif (skipped := case.find("skipped")) is not None:
            said = (skipped.get("message") or "no reason given").strip()
            yield name, "skipped", said.splitlines()[-1]  # googletest's begins with file and line
        elif case.get("status") in ("notrun", "disabled"):
            yield name, "skipped", "did not run"
        else:
            yield name, "passed", ""


def main():
    folder, failed_stages = pathlib.Path(sys.argv[1]), sys.argv[2:]
    results = []
    for file in sorted(folder.glob("pytest-*.xml")):
        results += [(f"{file.stem}: {name}", verdict, why) for name, verdict, why in cases(file)]
    for report in sorted(folder.glob("ctest-*.xml")):
        preset = report.stem.removeprefix("ctest-")
        broken = set()
        for file in sorted((folder / f"gtest-{preset}").glob("*.xml")):
            try:
                found = [(f"{preset}: {name}", verdict, why) for name, verdict, why in cases(file)]
            except xml.ParseError:
                continue
            results += found
            if any(verdict == "failed" for _, verdict, _ in found):
                broken.add(file.stem.removesuffix("_test"))
        for name, verdict, _ in cases(report):  # "skipped" here means that the binary could not even be run
            binary = name.rsplit(".", 1)[-1]
            if verdict != "passed" and binary not in broken:
                results.append((f"{preset}: {binary} died, timed out or did not run", "failed", ""))
    count = {verdict: sum(v == verdict for _, v, _ in results) for verdict in ("passed", "failed", "skipped")}
    if failed_stages and not count["failed"]:
        count["failed"] = len(failed_stages)
    for name, verdict, _ in results:
        if verdict == "failed":
            print(f"FAILED {name}")
    reasons = collections.Counter(why for _, verdict, why in results if verdict == "skipped")
    for reason, times in sorted(reasons.items()):
        print(f"skipped, {times}: {reason}")
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    print(f"{count['passed']} passed, {count['failed']} failed{skipped}")
    sys.exit(1 if count["failed"] or failed_stages or not count["passed"] else 0)


if __name__ == "__main__":
    main()
