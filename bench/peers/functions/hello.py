"""What a platform costs by itself; every peer serves this same handler."""


def handler(event, context):
    return {"message": "hello, world"}
