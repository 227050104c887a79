"""A plain process with the handler of hello.py: reads an event, answers, ends."""

import json
import sys

import hello

print(json.dumps(hello.handler(json.load(sys.stdin), None)), flush=True)
