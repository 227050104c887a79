"""What the warm path is measured with; gunicorn serves this same handler (gunicorn_app.py)."""


def handler(event, context):
    return {"ok": True}
