"""Readylight: a repair shop's counter, and the page where its customers see where their repair stands."""

from flask import Flask

from . import auth, config, crowd, db, found_by, health, printing, throttle, web
from .activity import views as activity
from .customers import views as customers
from .exchange import views as exchange
from .repairs import views as repairs
from .shop import views as shop
from .staff import views as staff
from .tracking import views as tracking

__version__ = "1.2.0"


def create_app(overrides: dict | None = None) -> Flask:
    """The app, wired. overrides go over what the environment says; no connection is opened here."""
    settings = {**config.load(), **(overrides or {})}
    app = Flask(
        __name__,
        template_folder="../templates",
        static_folder="../static",
        instance_path=settings["DATA_DIR"],
    )
    # Enough for a long form, far from enough to fill the memory. A view that takes files says how much it takes; these
    # are read to the disk, and the text beside them is still held to this.
    app.config.update(MAX_CONTENT_LENGTH=1024 * 1024, MAX_FORM_MEMORY_SIZE=1024 * 1024)
    app.config.update(settings)

    if app.config["METRICS_TOKEN"]:
        from . import metrics  # It loads a library that nobody else needs.

        metrics.init_app(app, __version__)
    web.init_app(app)
    db.init_app(app)
    found_by.init_app(app)
    throttle.init_app(app)
    auth.init_app(app)
    app.wsgi_app = crowd.FewAtATime(app.wsgi_app)
    # What is asked again and again is answered before that line.
    tracking.init_app(app)
    health.init_app(app)
    if not app.config["SERVING"]:
        from . import cli  # A worker does without the commands, and without the 20 MB that they load.

        cli.init_app(app)
    for module in (shop, staff, customers, repairs, exchange, printing, activity):
        app.register_blueprint(module.bp)
    web.stand_in_front(app)
    return app
