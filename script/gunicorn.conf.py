"""How gunicorn runs Readylight, or what is measured beside it."""

import gc
import hashlib
import itertools
import os
import resource
import shutil
import sys
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path

from gunicorn.glogging import Logger
from jinja2 import FileSystemBytecodeCache

sys.path.insert(0, str(Path(__file__).parent.parent))

from app import logs
from app.config import load
from app.worker import Worker

_settings = load()
_host = f"[{_settings['HOST']}]" if ":" in _settings["HOST"] else _settings["HOST"]
bind = f"{_host}:{_settings['PORT']}"
workers = _settings["WORKERS"]
threads = _settings["THREADS"]
worker_class = Worker

# The app is made once, before the workers are, which halves their memory; it opens no connection by then.
preload_app = True
# A phone on a bad line may take its time; a worker that answers nobody for this long is replaced.
timeout = 60
graceful_timeout = 10
# Longer than a customer's page waits between two polls, so that it keeps its connection. As many as may be open.
keepalive = 5
_most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20_000)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
worker_connections = _most // 2
# Workers prove that they live by touching a file: in memory, so that a slow disk does not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True
# No header says where the app is mounted: a client behind a proxy could send it as well as the proxy.
forwarder_headers = ""
# The kernel would wait for ever for a client that does not take its answer.
sendfile = False
# No access log: it would hold every tracking address.
accesslog = None


class logger_class(Logger):  # noqa: N801 (the name is the setting's)
    """Writes what gunicorn itself has to say as the app does, without tracking addresses."""

    def setup(self, cfg):
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(_settings["LOG_FORMAT"]))


def _is_shop(app):
    # What is measured beside it, by script/bench, is none.
    return "BACKUP_AT" in getattr(app, "config", {})


class _Compiled(FileSystemBytecodeCache):
    """Templates as Python compiled them. Without room for them on the disk they are compiled every time."""

    def dump_bytecode(self, bucket):
        with suppress(OSError):
            super().dump_bytecode(bucket)


def _load_templates(environment):
    """Loads every template, compiled once for all starts where that can be kept.

    A child compiles them, and takes with it what that leaves in memory: four megabytes.
    """
    names = environment.list_templates(extensions=["html", "svg"])
    # script/environment makes it. How they are compiled is said in app/web.py.
    kept = Path(sys.prefix) / "optimized" / "templates"
    build = hashlib.sha256((Path(__file__).parent.parent / "app" / "web.py").read_bytes()).hexdigest()[:8]
    with nullcontext(kept) if os.access(kept, os.W_OK) else tempfile.TemporaryDirectory() as folder:
        environment.bytecode_cache = _Compiled(str(folder), f"{build}-%s")
        if (child := os.fork()) == 0:
            try:
                for name in names:
                    environment.get_template(name)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        for name in names:
            environment.get_template(name)
        environment.bytecode_cache = None


def on_starting(server):
    """Finishes in the parent what each worker would do for itself, so that they share the memory of it."""
    app = server.app.wsgi()
    if _is_shop(app):
        # These two are loaded by whoever first needs a thread or a host's name.
        import concurrent.futures.thread
        import encodings.idna

        from sqlalchemy.orm import configure_mappers

        from app.backup import nightly

        configure_mappers()
        _load_templates(app.jinja_env)
    # What is loaded by now is for ever: the collector's marks on it would make each worker copy it.
    gc.collect()
    gc.freeze()


def pre_fork(server, worker):
    """Gives each worker the lowest number that no living one has, by which it keeps its counts for /metrics."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in itertools.count() if number not in taken)


def post_fork(server, worker):
    """A worker counts on where the one before it with that number ended, so that no count is ever lost or left over."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(lambda: worker.number)


def post_worker_init(worker):
    """Has every worker look after the nightly backup, if it is the shop that it serves."""
    if _is_shop(worker.wsgi):
        from app.backup import nightly

        nightly.watch(worker.wsgi)


def on_exit(server):
    """Removes what script/serving.py made for the counts."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(folder, ignore_errors=True)
