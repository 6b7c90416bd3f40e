"""The yardsticks: the least that a server, and the least that Flask, can answer."""

from flask import Flask

flask = Flask("hello")


def bare(environ, start_response):
    """WSGI without a framework."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


@flask.get("/")
def hello():
    """Flask without an application."""
    return "hello"
