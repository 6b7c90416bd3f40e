# Readylight as a container: the same packages and scripts as anywhere else. Its data is in the volume /data.
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /readylight
COPY requirements.txt ./
COPY script/server script/environment script/
RUN ["script/server", "--install"]
COPY . .
# Once more, now that there is something to compress. A start then has nothing left to write here.
RUN script/server --install \
    && .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash app migrations wsgi.py \
    && PYTHONOPTIMIZE=2 PYTHONNODEBUGRANGES=1 PYTHONPYCACHEPREFIX=.venv/optimized \
       .venv/bin/python -m compileall -qf --invalidation-mode unchecked-hash app migrations wsgi.py script/gunicorn.conf.py

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Readylight" \
      org.opencontainers.image.description="The counter of a repair shop, and the page where its customers see their repair" \
      org.opencontainers.image.licenses="MIT"
# pg_dump copies a PostgreSQL database; it must not be older than the server.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin readylight \
    && install -d -o readylight -g readylight -m 700 /data
COPY --from=build /readylight /readylight
WORKDIR /readylight
USER 10001:10001
ENV PATH=/readylight/.venv/bin:$PATH DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
# Not by urllib, which would ask a proxy that the environment names.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "\
from http.client import HTTPConnection; import os, sys; \
door = HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=4); \
door.request('GET', '/healthz'); \
sys.exit(door.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
CMD ["script/server"]
