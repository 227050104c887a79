"""The show of `./dev up`: deploys examples/digits, posts its sample images, prints what came back, what it took and what it cost.

usage: show_digits.py EBB_BINARY URL
"""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import urllib.request

DIGITS = pathlib.Path(__file__).resolve().parents[1] / "examples/digits"


def post(url, image):
    """(answer, Server-Timing) of one call."""
    request = urllib.request.Request(url, data=image, headers={"content-type": "image/png"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response), response.headers.get("Server-Timing", "")


def rung(timing):
    """The rung of the ladder an instance came from: idle, fork, boot, ..."""
    found = re.search(r'\bstart;[^,]*?desc="?(\w+)', timing)
    return found.group(1) if found else ""


def heading(text):
    print(f"\n\033[1m== {text}\033[0m", flush=True)


def main():
    binary, url = sys.argv[1:3]
    heading("deploying examples/digits")
    subprocess.run([binary, "deploy", str(DIGITS), "--url", url], check=True)

    function = url + "/fn/vision/digits"
    truth = json.loads((DIGITS / "samples/labels.json").read_text())
    images = {name: (DIGITS / "samples" / name).read_bytes() for name in truth}

    heading(f"{len(truth)} images that the model has never seen, posted to {function}")
    # Several at once, so that some meet no idle instance and start from zero.
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = dict(zip(images, pool.map(lambda image: post(function, image), images.values())))
    for name, label in truth.items():
        digit = answers[name][0]["digit"]
        print(f"  {name}  true {label}  predicted {digit}  {'' if digit == label else '<- wrong'}")
    right = sum(answers[name][0]["digit"] == label for name, label in truth.items())
    print(f"  {right} of {len(truth)} right")

    heading("what a call takes (Server-Timing, milliseconds)")
    cold = [timing for _, timing in answers.values() if rung(timing) not in ("", "idle")]
    _, warm = post(function, next(iter(images.values())))
    print(f"  cold  {cold[0] if cold else 'none was needed: idle instances took every call; wait for them to retire'}")
    print(f"  warm  {warm}")

    heading("what it cost (the last usage records, in CU)")
    subprocess.run([binary, "usage", "vision/digits", "--limit", "8", "--url", url], check=True)
    if right < 0.9 * len(truth):
        sys.exit("the model is wrong too often: something is broken")


if __name__ == "__main__":
    main()
