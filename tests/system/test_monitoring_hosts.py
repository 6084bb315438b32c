"""A lab that is watched: `playbooks/monitoring.yml` on two hosts, and back, as a user who may sudo.

Grafana cannot be had from Debian. A package of that name, with a service that reads its configuration as Grafana does, stands in for it:
what is tried is the role, and not Grafana.
"""

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.data import data_path
from labctl.errors import ProvisionError
from tests.hosts import Host, Hosts, debian_hosts
from tests.provisioning import Player
from tests.snapshots import Snapshot, assert_same, take
from tests.system.rack import until

pytestmark = [
    pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300),
]  # fmt: skip
BOOK = data_path("playbooks/monitoring.yml")
TARGETS = "/var/lib/labctl/prometheus-targets"
GET = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
"""
UP_S = 30.0


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A pair whose hosts are empty; the first of them watches."""
    folder = tmp_path_factory.mktemp("monitoring")
    with debian_hosts(["h1", "h2"], folder / "hosts", user="lab") as hosts:
        yield hosts


@pytest.fixture(scope="module")
def player(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Player:
    lab = hosts.folder / "watched"
    lab.mkdir()
    hosts.write_inventory("watched/hosts.yml", user="lab")
    (lab / "monitoring.yml").write_text("all: {children: {monitoring: {hosts: {h1: }}}}\n")
    return Player(lab, tmp_path_factory.mktemp("play"))


@pytest.fixture(scope="module")
def before(hosts: Hosts) -> dict[str, Snapshot]:
    return {host.name: take(host) for host in hosts}


def ok(host: Host, command: str) -> str:
    done = host.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(host: Host, url: str) -> str:
    """What a page says to somebody on the host, or its status."""
    return ok(host, f"python3 -c '{GET}' {url}")


def ask(host: Host, what: str) -> Any:
    """Its Prometheus' API."""
    return json.loads(get(host, f"http://127.0.0.1:9090/api/v1/{what}"))["data"]


def targets(host: Host, job: str) -> dict[str, str]:
    """By instance, how those of a job do."""
    found = ask(host, "targets?state=active")["activeTargets"]
    return {t["labels"]["instance"]: t["health"] for t in found if t["labels"]["job"] == job}


def answers(host: Host, port: int) -> bool:
    """Whether something on a host's management address answers this machine."""
    try:
        socket.create_connection((host.address, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def listening(host: Host) -> set[str]:
    """Addresses with ports, of all that listens there and is no part of a host as it was."""
    with_its_network = ["nsenter", "--target", str(host.pid), "--net"]
    shown = subprocess.run(
        [*with_its_network, "ss", "--no-header", "--listening", "--tcp", "--udp", "--numeric"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout
    found = {line.split()[4] for line in shown.splitlines()}
    return {address for address in found if int(address.rpartition(":")[2]) > 1024}


def test_a_lab_is_watched_and_a_second_run_changes_nothing(
    hosts: Hosts, player: Player, before: dict[str, Snapshot]
) -> None:
    h1, h2 = hosts
    asked: dict[str, Any] = {
        "monitoring_alertmanager": True,
        "alertmanager_receiver": {"webhook_configs": [{"url": "http://127.0.0.1:9/secret"}]},
    }
    would = player.book(BOOK, check=True, **asked)
    assert {"prometheus", "prometheus-node-exporter"} <= set(would.changes.splitlines())
    for host in hosts:
        assert_same(before[host.name], take(host))
    assert player.book(BOOK, **asked).changed
    assert player.book(BOOK, **asked).changed == []

    # Now, and at no time before.
    assert listening(h1) == {"127.0.0.1:9090", "127.0.0.1:9093", f"{h1.address}:9100"}
    assert listening(h2) == {f"{h2.address}:9100"}
    assert not answers(h1, 9090)
    assert answers(h1, 9100)
    said = ok(h1, "journalctl --no-pager --output cat --unit 'prometheus*'")
    assert "address=127.0.0.1:9090" in said
    assert "[::]" not in said
    assert "0.0.0.0" not in said

    up = {"h1": "up", "h2": "up"}
    until(lambda: targets(h1, "node") == up, UP_S, lambda: targets(h1, "node"))
    assert len(ask(h1, "rules")["groups"]) == 2
    known = ask(h1, "alertmanagers")["activeAlertmanagers"]
    assert [one["url"] for one in known] == ["http://127.0.0.1:9093/api/v2/alerts"]
    assert "<h1>labctl</h1>" in get(h1, "http://127.0.0.1:9090/consoles/labctl.html")
    # Remote write: not found where it is not taken in.
    assert get(h1, "http://127.0.0.1:9090/api/v1/write").strip() != "404"
    assert "/secret" not in h1.ssh("cat /etc/prometheus/*.yml", user="lab").stdout


def test_a_run_tells_of_itself_as_any_user(hosts: Hosts) -> None:
    h1 = hosts["h1"]
    told = h1.ssh(f'echo \'[{{"targets": ["127.0.0.1:9100"]}}]\' >{TARGETS}/1.json', user="lab")
    assert told.returncode == 0, told.stderr
    until(lambda: bool(targets(h1, "labctl")), UP_S)
    assert h1.ssh(f"rm {TARGETS}/1.json", user="lab").returncode == 0
    until(lambda: not targets(h1, "labctl"), UP_S)


def test_what_changed_is_started_anew_and_nothing_else(hosts: Hosts, player: Player) -> None:
    h1 = hosts["h1"]
    pids = "systemctl show --property MainPID --value prometheus prometheus-node-exporter"
    pid, _, exporter = ok(h1, pids).split("\n")[:3]
    played = player.book(BOOK, prometheus_retention="30d")
    assert "prometheus-alertmanager" in played.changes  # it is not asked for any more
    now = ok(h1, pids).split("\n")
    assert (now[0] != pid, now[2] == exporter) == (True, True)
    assert ask(h1, "status/flags")["storage.tsdb.retention.time"] == "30d"
    assert listening(h1) == {"127.0.0.1:9090", f"{h1.address}:9100"}
    assert ok(h1, "ls /etc/prometheus/labctl-alertmanager.yml || true") == ""

    stopped = player.book(BOOK, monitoring_start=False)
    assert any("not started: that was asked" in said for said in stopped.said)
    assert listening(h1) == set()
    assert h1.run("systemctl is-enabled prometheus").stdout == "disabled\n"


def test_what_cannot_be_is_refused_before_it_is_put_in_place(hosts: Hosts, player: Player) -> None:
    written = ok(hosts["h1"], "cat /etc/prometheus/prometheus.yml")
    with pytest.raises(ProvisionError, match="not a valid duration"):
        player.book(BOOK, prometheus_interval="often")
    assert ok(hosts["h1"], "cat /etc/prometheus/prometheus.yml") == written
    with pytest.raises(ProvisionError, match=r"amtool says .* field nobody not found"):
        player.book(BOOK, monitoring_alertmanager=True, alertmanager_receiver={"nobody": 1})
    with pytest.raises(ProvisionError, match="prometheus-node-exporter on h2 does not answer at"):
        player.book(BOOK, limit="h2", node_exporter_port=22, daemon_within_s=3)


def test_the_way_back_leaves_hosts_as_they_were(
    hosts: Hosts, player: Player, before: dict[str, Snapshot]
) -> None:
    assert player.book(data_path("playbooks/unmonitor.yml")).changed
    for host in hosts:
        assert host.run("dpkg-query --show 'prometheus*' | grep '[0-9]'").stdout == ""
    for host in hosts:
        assert_same(before[host.name], take(host))


# What Grafana does with its configuration, as far as the role depends on it.
SERVER = r"""#!/usr/bin/python3
import configparser, http.server, pathlib, re
ini = configparser.ConfigParser(interpolation=None)
ini.read("/etc/grafana/grafana.ini")
expand = lambda text: re.sub(r"\$__file{(.*)}", lambda m: pathlib.Path(m[1]).read_text().strip(), text)
database = pathlib.Path("/var/lib/grafana/grafana.db")
if not database.exists():
    database.write_text(expand(ini["security"]["admin_password"]))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
where = ini["server"]["http_addr"], int(ini["server"]["http_port"])
http.server.HTTPServer(where, Health).serve_forever()
"""
PACKAGE = r"""
set -e
mkdir -p /srv/repository && cd "$(mktemp -d)"
mkdir -p grafana/DEBIAN grafana/usr/sbin grafana/lib/systemd/system
cat >grafana/usr/sbin/grafana-server
chmod 755 grafana/usr/sbin/grafana-server
cat >grafana/lib/systemd/system/grafana-server.service <<END
[Service]
User=grafana
ExecStart=/usr/sbin/grafana-server
[Install]
WantedBy=multi-user.target
END
cat >grafana/DEBIAN/control <<END
Package: grafana
Version: 1.0
Architecture: all
Maintainer: the tests of labctl <nobody@example.net>
Description: stands in for Grafana
END
cat >grafana/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
getent passwd grafana >/dev/null || useradd --system grafana
mkdir -p /etc/grafana/provisioning/dashboards /etc/grafana/provisioning/datasources /var/lib/grafana
[ -e /etc/grafana/grafana.ini ] || echo '# sample' >/etc/grafana/grafana.ini
chown -R grafana:grafana /var/lib/grafana
find /etc/grafana -type f -exec chmod 640 {} +
END
chmod 755 grafana/DEBIAN/postinst
dpkg-deb --root-owner-group --build grafana /srv/repository/grafana.deb >/dev/null
cd /srv/repository
{
  dpkg-deb --field grafana.deb
  echo "Filename: ./grafana.deb"
  echo "Size: $(stat --format %s grafana.deb)"
  echo "SHA256: $(sha256sum <grafana.deb | cut -d ' ' -f 1)"
} >Packages
"""


def repository(host: Host, folder: Path) -> Path:
    """Make one with that package on a host, signed; the key that it is signed with."""
    made = host.run(PACKAGE, said=SERVER)
    assert made.returncode == 0, made.stderr
    packages = host.root / "srv/repository/Packages"
    text = packages.read_bytes()
    (folder / "Release").write_text(
        "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        f" {hashlib.sha256(text).hexdigest()} {len(text)} Packages\n"
    )
    home = folder / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*words: str) -> None:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    key = folder / "key.asc"
    try:
        gpg("--quick-generate-key", "the tests of labctl", "rsa2048", "sign", "1d")
        gpg("--armor", "--export", "--output", str(key))
        gpg(
            "--clearsign", "--output", str(packages.with_name("InRelease")), str(folder / "Release")
        )
    finally:
        subprocess.run(
            ["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=30
        )
    return key


def test_a_grafana_takes_the_password_that_only_root_reads(
    hosts: Hosts, player: Player, tmp_path: Path
) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg: the package that stands in for Grafana is signed")
    h2 = hosts["h2"]
    asked: dict[str, Any] = {
        "grafana_repository": {
            "uris": "file:/srv/repository",
            "suites": "./",
            "signed_by": str(repository(h2, tmp_path)),
        }
    }
    played = player("grafana", limit="h2", **asked)
    assert player("grafana", limit="h2", **asked).changed == []
    assert listening(h2) == {"127.0.0.1:3000"}

    file = "/etc/labctl/grafana-admin-password"
    password = ok(h2, f"cat {file}").strip()
    assert len(password) == 32
    assert ok(h2, f"stat --format '%a %U' {file}") == "600 root\n"
    assert h2.ssh(f"cat {file}", user="lab").returncode != 0
    assert ok(h2, "cat /var/lib/grafana/grafana.db") == password
    assert password not in played.changes + "\n".join(played.said)
    copied = ok(h2, "ls /var/lib/grafana/dashboards/labctl").split()
    assert copied == sorted(path.name for path in data_path("dashboards").glob("*.json"))

    player.back("grafana", limit="h2")
    assert h2.run("dpkg-query --show grafana").returncode != 0
    # The database is still there, and with it the password that holds in it.
    assert ok(h2, f"cat {file}").strip() == password
    ok(h2, "ls /etc/apt/sources.list.d; test ! -e /etc/apt/sources.list.d/labctl-grafana.sources")
