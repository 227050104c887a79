"""The program of `python` and `lambda`, which a plain process (plain.py) runs as well."""


def handler(event, context):
    return {"message": "hello, world"}
