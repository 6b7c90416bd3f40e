"""How gunicorn runs Readylight. Addresses and counts come from `flask serve`, on the command line."""

import gc
import os

worker_class = "gthread"
# A phone on a bad line may take its time; a worker that answers nobody for this long is replaced.
timeout = 60
graceful_timeout = 10
keepalive = 5
# Workers prove that they live by touching a file: in memory, so that a slow disk does not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True
# No access log: it would hold every tracking address.
accesslog = None


def on_starting(server):
    """Loads the libraries, not the app, into the parent: workers share their memory, and SIGHUP loads new code."""
    import argon2
    import babel.dates
    import babel.numbers
    import flask_limiter
    import flask_login
    import flask_migrate
    import flask_sqlalchemy
    import flask_wtf
    import phonenumbers
    import PIL.Image
    import segno
    import sqlalchemy.dialects.sqlite
    import whitenoise
    import wtforms

    # What is loaded by now is for ever: the collector's marks on it would make each worker copy it.
    gc.collect()
    gc.freeze()


def post_worker_init(worker):
    """Keeps tracking addresses out of what gunicorn itself writes about a request that it cannot read."""
    from app.web import Redacting

    for handler in worker.log.error_log.handlers:
        handler.setFormatter(Redacting(handler.formatter._fmt, handler.formatter.datefmt))
