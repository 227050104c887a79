"""A guestbook in Flask, as it would run under any WSGI server: nothing in it knows of Ebb."""

import time

from flask import Flask, Response, abort, jsonify, redirect, render_template_string, request, session, url_for

app = Flask(__name__)
app.secret_key = "for the example only: take it from a secret"

PAGE = """<!doctype html>
<title>Guestbook</title>
<h1>{{ greeting }}</h1>
<form method="post" action="{{ url_for('sign') }}"><input name="name"><button>Sign</button></form>
<p><a href="{{ url_for('page') }}">again</a></p>
"""


@app.get("/")
def page():
    name = session.get("name")
    return render_template_string(PAGE, greeting=f"Hello, {name}" if name else "Who are you?")


@app.post("/sign")
def sign():
    if not request.form.get("name"):
        abort(400, "a name is wanted")
    session["name"] = request.form["name"]
    return redirect(url_for("page"))


@app.get("/square/<int:number>")
def square(number):
    return jsonify(number=number, square=number * number, link=url_for("square", number=number + 1, _external=True))


@app.get("/count")
def count():
    def lines():
        for number in range(3):
            yield f"{number}\n"
            time.sleep(0.05)

    return Response(lines(), mimetype="text/plain")


@app.get("/fails")
def fails():
    raise RuntimeError("this is what a bug looks like")
