"""As one writes it for AWS Lambda: an answer, an error, an end of the process, and a start that fails."""

import os
import time

if os.environ.get("FAIL_INIT"):
    raise LookupError("no table name")


def take(event, context):
    wish = event.get("wish")
    if wish == "error":
        raise LookupError("nothing ordered")
    if wish == "panic":
        os._exit(3)
    if wish == "sleep":
        time.sleep(60)
    return {
        "event": event,
        "bounded": context.get_remaining_time_in_millis() > 0,
        "id": bool(context.aws_request_id),
        "arn": bool(context.invoked_function_arn),
        "memory": int(context.memory_limit_in_mb),
        "handler": os.environ["_HANDLER"],
        "task": os.environ["LAMBDA_TASK_ROOT"],
    }
