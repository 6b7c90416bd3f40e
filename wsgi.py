"""The WSGI entry: gunicorn and the flask command both find it without settings."""

from app import create_app

app = create_app()
