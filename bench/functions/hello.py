"""No model: what a cold start costs by itself."""


def handler(event, context):
    return {"message": "hello, world"}
