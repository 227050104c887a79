"""The program of `wsgi`; gunicorn serves the same."""

import flask

app = flask.Flask(__name__)


@app.get("/")
def hello():
    return {"message": "hello, world"}
