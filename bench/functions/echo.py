"""Returns its event: the bare forks get the same JSON that an instance gets."""


def handler(event, context):
    return event
