"""What the README and the files beside it promise to whoever runs the shop elsewhere: container, service, proxy."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

from app.config import ROOT, SETTINGS

README = (ROOT / "README.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FLASK = [sys.executable, "-m", "flask"]
METRICS_TOKEN = "a token for the one who watches"


def started(test):
    """Marks a test that starts a server: with the journeys, and on SQLite alone, whatever the rest runs on."""
    once = pytest.mark.skipif(bool(os.environ.get("TEST_DATABASE_URL")), reason="starts are tried on SQLite")
    return pytest.mark.journey(once(test))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_in(folder) -> dict:
    """An environment with an empty data folder and a free port, and no other settings."""
    names = {setting.name for setting in SETTINGS}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return clean | {
        "DATA_DIR": str(folder / "data"),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "WORKERS": "2",
        "THREADS": "4",
    }


@pytest.fixture
def environment(tmp_path):
    """An environment for a server of a test's own."""
    return environment_in(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server with all that can be switched on: its environment, its log, and where it keeps its counts."""
    folder = tmp_path_factory.mktemp("shop")
    settings = {"LOG_FORMAT": "json", "LOG_REQUESTS": "1", "METRICS_TOKEN": METRICS_TOKEN, "TMPDIR": str(folder)}
    shop = SimpleNamespace(environment=environment_in(folder) | settings, log=folder / "log", folder=folder)
    with serving(shop.environment, shop.log):
        until(lambda: shop.log.read_text().count("Booting worker") == 2, shop.log)
        yield shop


@contextmanager
def serving(environment, log, command=(ROOT / "script" / "serve",)):
    """The server, once both its workers answer; told to stop afterwards. What it says goes into the file log."""
    with (
        log.open("w") as out,
        subprocess.Popen([*command], env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            until(lambda: answers(environment) or process.poll() is not None, log)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def until(happens, log, seconds=60):
    for _ in range(seconds * 20):
        if happens():
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def get(environment, path, **headers):
    return urlopen(Request(f"http://127.0.0.1:{environment['PORT']}{path}", headers=headers), timeout=5)


def answers(environment) -> bool:
    try:
        with get(environment, "/healthz") as answer:
            return answer.read() == b"ok\n"
    except OSError:
        return False


def block(language: str, containing: str) -> str:
    """The README's code block in that language that has that text in it."""
    [found] = [text for text in re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S) if containing in text]
    return found


# --- the server itself --------------------------------------------------------------------------


@started
def test_gunicorn_s_own_lines_have_the_form_of_the_others_and_no_link_in_them(shop):
    token = "t0ken-t0ken-t0ken-t0ke"
    for line in (
        f"GET /t/{token} HTTP/1.1 junk",
        f"GET /t/{token} HTTP/9.9",
        f"GET /t/{token}?next=/t/{token} HTTP/1.1",
    ):
        with socket.create_connection(("127.0.0.1", int(shop.environment["PORT"])), timeout=5) as client:
            client.sendall(f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            client.recv(1000)
    with pytest.raises(HTTPError):
        get(shop.environment, f"/t/{token}")
    until(lambda: shop.log.read_text().count('"route": "/t/<token>"') == 2, shop.log)
    written = shop.log.read_text()
    assert token not in written
    # What is for whoever starts the server stands apart, before the log.
    lines = [json.loads(line) for line in written.splitlines() if line and not line.startswith("  ")]
    assert {line["logger"] for line in lines} == {"gunicorn.error", "readylight"}
    assert [line for line in lines if line["level"] == "WARNING" and "Invalid request" in line["message"]]


@started
def test_figures_are_of_all_workers_and_outlive_those_that_are_killed(shop):
    asked = 40

    def counted():
        with get(shop.environment, "/metrics", Authorization=f"Bearer {METRICS_TOKEN}") as answer:
            name = r'readylight_requests_total\{endpoint="auth.login",method="GET",status="3xx"\} (\S+)'
            found = re.search(name, answer.read().decode())
        return float(found[1]) if found else 0

    def ask():
        for _ in range(asked):
            with socket.create_connection(("127.0.0.1", int(shop.environment["PORT"])), timeout=5) as client:
                client.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b"302" in client.recv(100)

    ask()
    assert counted() == asked
    for worker in re.findall(r"Booting worker with pid: (\d+)", shop.log.read_text()):
        os.kill(int(worker), signal.SIGKILL)
    until(lambda: shop.log.read_text().count("Booting worker") == 4, shop.log)
    until(lambda: answers(shop.environment), shop.log)
    assert counted() == asked
    ask()
    assert counted() == 2 * asked
    # A worker goes on in the files of the one before it: they do not become more.
    assert len([*shop.folder.glob("readylight-metrics-*/*")]) <= 4


@started
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root mounts a folder read-only")
def test_the_server_runs_where_it_may_write_nothing_but_its_data(environment, tmp_path):
    """As in a container with a read-only root, or under systemd's ProtectSystem=strict."""
    closed = f"mount --bind {ROOT} {ROOT} && mount -o remount,bind,ro {ROOT} && ! touch {ROOT}/x 2>&-"
    subprocess.run([ROOT / "script" / "server", "--install"], check=True)
    environment |= {"METRICS_TOKEN": METRICS_TOKEN, "TMPDIR": str(tmp_path)}
    command = ["unshare", "--mount", "sh", "-c", f"{closed} && exec {ROOT}/script/server"]
    with serving(environment, tmp_path / "log", command), get(environment, "/setup") as answer:
        assert answer.status == 200
        assert [*tmp_path.glob("readylight-metrics-*")]
    assert "Error" not in (tmp_path / "log").read_text()
    assert not [*tmp_path.glob("readylight-metrics-*")]


# --- containers ---------------------------------------------------------------------------------


@started
def test_the_container_s_health_is_the_server_s(shop):
    [command] = re.findall(r"HEALTHCHECK .*? CMD (\[.*?\])$", DOCKERFILE.replace("\\\n", ""), re.M)
    command = [sys.executable, *json.loads(command)[1:]]
    # A proxy that the environment names must not be asked.
    proxied = shop.environment | {"http_proxy": "http://127.0.0.1:1"}
    assert subprocess.run(command, env=proxied).returncode == 0
    nowhere = shop.environment | {"PORT": str(free_port())}
    assert subprocess.run(command, env=nowhere, capture_output=True).returncode == 1


def test_the_container_is_nobody_s_in_particular_and_holds_no_data():
    assert re.search(r"^USER \d+:\d+$", DOCKERFILE, re.M)
    assert re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.M) == ["/data"]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)
    assert not {"instance", ".git", ".venv", ".env"} & {*kept}


COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_is_closed(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service
    assert service.get("cap_add", []) in ([], ["NET_BIND_SERVICE"])


def test_one_command_runs_the_shop_alone_and_the_profile_runs_all():
    alone = [name for name, service in COMPOSE["services"].items() if "profiles" not in service]
    assert alone == ["readylight"]
    assert {*COMPOSE["services"]} == {"readylight", "postgres", "redis", "caddy"}
    assert {*COMPOSE["services"]["readylight"]["environment"]} <= {setting.name for setting in SETTINGS}


def test_each_line_of_the_env_file_is_one_that_compose_reads():
    names = re.findall(r"^(\w+)=", block("sh", "COMPOSE_PROFILES"), re.M)
    source = (ROOT / "compose.yaml").read_text()
    assert names == ["COMPOSE_PROFILES", "DOMAIN", "POSTGRES_PASSWORD"]
    assert all(f"${{{name}" in source for name in names[1:])


# --- a service, and a proxy ---------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path):
    unit = tmp_path / "readylight.service"
    unit.write_text(block("ini", "[Service]").replace("/srv/readylight", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # Exposure, in tenths: 100 for a service about which nothing is said.
    subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", unit], capture_output=True, check=True
    )


@started
@pytest.mark.skipif(not shutil.which("caddy"), reason="no Caddy here")
def test_behind_caddy_the_shop_is_secure_and_believes_nobody_else(environment, tmp_path):
    http, https = free_port(), free_port()
    caddyfile = block("", "reverse_proxy").replace("repairs.example.com", "localhost")
    caddyfile = caddyfile.replace("127.0.0.1:8000", f"127.0.0.1:{environment['PORT']}")
    options = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {http}\n\thttps_port {https}\n}}\n"
    (tmp_path / "Caddyfile").write_text(options + caddyfile)
    proxy = ["caddy", "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"]
    home = environment | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    trust = ssl._create_unverified_context()  # noqa: S323 (a certificate of Caddy's own, made a moment ago)
    log = tmp_path / "log"

    def ask(path, data=None, **headers):
        url = f"https://localhost:{https}{path}"
        try:
            return urlopen(Request(url, data, {"Referer": url} | headers), context=trust, timeout=5)
        except HTTPError as answer:
            return answer

    def is_up():
        try:
            return ask("/healthz").status == 200
        except OSError:
            return False

    filled = subprocess.run(
        [*FLASK, "demo", "--repairs", "5", "--json"], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    token = re.search(rb"/t/([\w-]{22})", filled.stdout)[1].decode()
    with (
        serving(environment | {"TRUSTED_PROXIES": "1"}, log),
        (tmp_path / "caddy.log").open("w") as out,
        subprocess.Popen(proxy, env=home, stdout=out, stderr=out) as caddy,
    ):
        try:
            until(is_up, tmp_path / "caddy.log")
            # What a visitor says of himself is not what Caddy says of him.
            forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
            with ask("/login", **forged) as page:
                assert page.headers["Strict-Transport-Security"]
                cookie = page.headers["Set-Cookie"]
                assert "; Secure" in cookie
                form_token = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page.read().decode())[1]
            form = {"csrf_token": form_token, "email": "ana@example.com", "password": "a wrong password"}
            cookie = {"Cookie": cookie.partition(";")[0]}
            with ask("/login", urlencode(form).encode(), **cookie, **forged) as page:
                assert page.status == 422
            # The customer's page stays live through it, at the price of a 304.
            with ask(f"/t/{token}/live") as region:
                tag = {"HX-PTag": region.headers["HX-PTag"], "HX-Request": "true"}
            with ask(f"/t/{token}/live", **tag) as region:
                assert region.status == 304
        finally:
            caddy.terminate()
            caddy.wait(20)
    assert "from 127.0.0.1" in log.read_text()
    assert "203.0.113.9" not in log.read_text()
    assert token not in log.read_text() + (tmp_path / "caddy.log").read_text()
