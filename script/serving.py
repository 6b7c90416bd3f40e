"""The server: what comes before gunicorn, and gunicorn, in one process that loads the program once for both.

Started by script/serve. How a program starts gunicorn: https://gunicorn.org/custom
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

from gunicorn.app.base import Application

sys.path.insert(0, str(Path(__file__).parent.parent))

from app import config
from app.backup import copies, locks


class Server(Application):
    """Readylight under gunicorn."""

    def init(self, parser, options, args):
        """How gunicorn runs it."""
        options.config = str(config.ROOT / "script" / "gunicorn.conf.py")

    def reload(self):
        """What SIGHUP would read anew is the environment, which has not changed: new workers, and nothing else."""

    def load(self):
        """The app, its database up to date. gunicorn asks once, before it makes the workers. Raises SystemExit."""
        settings = config.load()
        try:
            # All workers inherit it: as long as one of them lives, nothing is restored.
            self.lock = locks.share(Path(settings["DATA_DIR"]))
        except copies.Unable as problem:
            raise config.BadSetting(str(problem)) from None
        if settings["METRICS_TOKEN"]:
            # Where the workers keep their counts, for any of them to add up.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="readylight-metrics-")
        try:
            from wsgi import app

            # A child takes with it what that loads, 20 MB, and its connections, which no worker may share. It does not
            # outlive this process.
            preparation = multiprocessing.get_context("fork").Process(target=_prepare, args=(app,), daemon=True)
            # An end that comes in between waits until the child is known.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            preparation.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            preparation.join()
            if preparation.exitcode < 0:
                sys.exit("What prepares the database was ended from outside.")
            if preparation.exitcode:
                sys.exit(preparation.exitcode)
        except BaseException:
            self.cfg.on_exit(None)
            raise
        return app


def _prepare(app):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        from app import db, preparing

        with app.app_context():
            preparing.check_port()
            preparing.prepare()
            preparing.announce()
            db.let_go()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    # Whatever the server makes is its alone to read.
    os.umask(0o077)
    # Until gunicorn takes the signals: an end in which what was begun is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        Server().run()
    except KeyboardInterrupt:
        sys.exit(130)
