"""What `playbooks/monitoring.yml` would write on a lab's hosts: it is played in check mode, with the roles that act on a host replaced.

No host is reached and nothing is installed. Hosts are this machine by another name of Ansible's for it (`ansible.builtin.local`), so that the
roles take them for hosts that SSH reaches.
"""

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from labctl.data import data_path
from labctl.monitoring.discovery import SHARED
from labctl.monitoring.grafana import DATASOURCE, FOLDER

pytestmark = pytest.mark.timeout(180)
PLAYBOOKS = data_path("playbooks")
PLAYED = ("node_exporter", "prometheus", "alertmanager", "grafana")
TELL = """
- name: Tell what was asked
  ansible.builtin.copy:
    content: "{{ asked | to_json }}"
    dest: "{{ lookup('ansible.builtin.env', 'TOLD') }}/{{ inventory_hostname }}-{{ owner }}.json"
    mode: "0644"
  vars: VARS
  check_mode: false
"""
REPLACED = {
    "packages": "[]",
    "settings": TELL.replace(
        "VARS", "{owner: '{{ settings_owner }}', asked: '{{ settings_wanted }}'}"
    ),
    "daemon": TELL.replace(
        "VARS",
        """
    owner: "{{ daemon_owner }}"
    asked:
      files: "{{ dict(daemon_files | map(attribute='file') | zip(daemon_files | map(attribute='content'))) }}"
      url: "{{ daemon_url }}"
      unit: "{{ daemon_unit | default('') }}"
      start: "{{ daemon_start }}\"""",
    ),
}
SUDO = """#!/bin/sh
while [ "$1" != /bin/sh ]; do shift; done
exec "$@"
"""
LAB = """
all:
  vars: {ansible_connection: ansible.builtin.local}
  children:
    hypervisors:
      hosts:
        h1: {ansible_host: 192.0.2.11}
        h2: {ansible_host: h2.example.net, labctl_address: "2001:db8::2"}
        h3: {ansible_host: h3.example.net}
    monitoring:
      hosts:
        watch: {ansible_host: 192.0.2.21}
"""
CAME_IN_ON = "198.51.100.1 50000 192.0.2.13 22"
Told = dict[str, Any]


def play(folder: Path, inventory: Path | str, **variables: Any) -> Told:
    """What was asked of each host, by `host-owner`."""
    told = folder / "told"
    for made in (told, folder / "roles"):
        made.mkdir(parents=True)
    for role in PLAYED:
        (folder / "roles" / role).symlink_to(PLAYBOOKS / "roles" / role)
    for role, tasks in REPLACED.items():
        (folder / "roles" / role / "tasks").mkdir(parents=True)
        (folder / "roles" / role / "tasks" / "main.yml").write_text(f"---\n{tasks}")
        (folder / "roles" / role / "tasks" / "unprovision.yml").write_text("[]\n")
    (folder / "sudo").write_text(SUDO)
    (folder / "sudo").chmod(0o755)
    shutil.copy(PLAYBOOKS / "monitoring.yml", folder)
    if isinstance(inventory, str):
        text, inventory = inventory, folder / "hosts.yml"
        inventory.write_text(text)
    given = {
        "ansible_python_interpreter": sys.executable,
        "ansible_become_exe": str(folder / "sudo"),
        **variables,
    }
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *("--check", "-i", str(inventory), "-e", json.dumps(given)),
            str(folder / "monitoring.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "SSH_CONNECTION": CAME_IN_ON,
            "TOLD": str(told),
        },
    )
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return {path.stem: json.loads(path.read_text()) for path in told.iterdir()}


def load(text: str) -> Any:
    return YAML(typ="safe").load(text)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A lab that says no more than where its hosts are."""
    return play(tmp_path_factory.mktemp("plain"), LAB)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One that asks for all there is."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "key.asc").write_text("a key\n")
    return play(
        folder,
        LAB,
        monitoring_alertmanager=True,
        monitoring_start=False,
        prometheus_labctl_targets=["192.0.2.20:9837"],
        alertmanager_receiver={"webhook_configs": [{"url": "http://192.0.2.1/"}]},
        grafana_repository={
            "uris": "https://packages.example.net",
            "suites": "stable",
            "components": "main",
            "signed_by": str(folder / "key.asc"),
        },
    )


def configuration(told: Told) -> Any:
    return load(told["watch-prometheus"]["files"]["/etc/prometheus/prometheus.yml"])


def arguments(asked: Told, file: str) -> list[str]:
    """The flags in a file of /etc/default."""
    (line,) = (line for line in asked["files"][file].splitlines() if not line.startswith("#"))
    assert line.startswith('ARGS="')
    assert line.endswith('"')
    return str(line[6:-1]).split()


def test_what_is_asked_for_by_itself(plain: Told) -> None:
    assert set(plain) == {
        "h1-node_exporter", "h2-node_exporter", "h3-node_exporter", "watch-prometheus",
    }  # fmt: skip
    assert all(asked["start"] for asked in plain.values())


def test_hosts_listen_where_prometheus_asks_them(plain: Told) -> None:
    """An address is taken as it is; of a name, the host takes the address that SSH came in on, and Prometheus the name."""
    file = "/etc/default/prometheus-node-exporter"
    listening = {
        name: arguments(plain[f"{name}-node_exporter"], file)[0] for name in ("h1", "h2", "h3")
    }
    assert listening == {
        "h1": "--web.listen-address=192.0.2.11:9100",
        "h2": "--web.listen-address=[2001:db8::2]:9100",
        "h3": "--web.listen-address=192.0.2.13:9100",
    }
    (node,) = (s for s in configuration(plain)["scrape_configs"] if s["job_name"] == "node")
    assert node["static_configs"] == [
        {"targets": ["192.0.2.11:9100"], "labels": {"instance": "h1"}},
        {"targets": ["[2001:db8::2]:9100"], "labels": {"instance": "h2"}},
        {"targets": ["h3.example.net:9100"], "labels": {"instance": "h3"}},
    ]


def test_prometheus_listens_on_the_loopback_and_takes_in_what_runs_send(plain: Told) -> None:
    asked = plain["watch-prometheus"]
    assert arguments(asked, "/etc/default/prometheus") == [
        "--web.listen-address=127.0.0.1:9090",
        "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=400d",
    ]
    assert asked["url"] == "http://127.0.0.1:9090/-/ready"
    labctl = configuration(plain)["scrape_configs"][0]
    assert labctl == {
        "job_name": "labctl",
        "scrape_interval": "1s",
        "file_sd_configs": [{"files": [f"{SHARED}/*.json"], "refresh_interval": "5s"}],
    }
    assert "alerting" not in configuration(plain)


@pytest.mark.parametrize(
    ("installed", "ours"),
    [
        ("/etc/prometheus/labctl.rules.yml", "rules/labctl.rules.yml"),
        ("/etc/prometheus/consoles/labctl.html", "console/labctl.html"),
    ],
)
def test_rules_and_page_are_the_projects_own(plain: Told, installed: str, ours: str) -> None:
    own = data_path("dashboards") / ours
    assert plain["watch-prometheus"]["files"][installed] == own.read_text()


@pytest.mark.parametrize("lab", ["plain", "whole"])
def test_promtool_takes_the_configuration(
    lab: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip(
            "needs promtool in PATH (`ansible-playbook -i inventory/local playbooks/tests.yml`)"
        )
    files = request.getfixturevalue(lab)["watch-prometheus"]["files"]
    rules, file = tmp_path / "labctl.rules.yml", tmp_path / "prometheus.yml"
    rules.write_text(files["/etc/prometheus/labctl.rules.yml"])
    file.write_text(
        files["/etc/prometheus/prometheus.yml"].replace("/etc/prometheus", str(tmp_path))
    )
    done = subprocess.run(
        ["promtool", "check", "config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 rule files found" in done.stdout


def test_an_alertmanager_is_one_by_itself_and_prometheus_knows_it(whole: Told) -> None:
    assert arguments(whole["watch-alertmanager"], "/etc/default/prometheus-alertmanager")[:2] == [
        "--web.listen-address=127.0.0.1:9093",
        "--cluster.listen-address=",
    ]
    known = configuration(whole)["alerting"]["alertmanagers"]
    assert known == [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]
    assert configuration(whole)["scrape_configs"][0]["static_configs"] == [
        {"targets": ["192.0.2.20:9837"]}
    ]


def test_a_grafana_lets_in_nobody_without_the_drawn_password(whole: Told) -> None:
    asked = whole["watch-grafana"]
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(asked["files"]["/etc/grafana/grafana.ini"])
    assert ini["server"]["http_addr"] == "127.0.0.1"
    # systemd puts its copy of the file there.
    assert asked["unit"] == "LoadCredential=admin-password:/etc/labctl/grafana-admin-password"
    credential = "/run/credentials/grafana-server.service/admin-password"
    assert ini["security"]["admin_password"] == f"$__file{{{credential}}}"
    assert not ini["auth.anonymous"].getboolean("enabled")
    assert not ini["users"].getboolean("allow_sign_up")
    for what in ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"):
        assert not ini["analytics"].getboolean(what)


def test_a_grafana_has_what_sync_would_make(whole: Told) -> None:
    files = whole["watch-grafana"]["files"]
    (source,) = load(files["/etc/grafana/provisioning/datasources/labctl.yaml"])["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE, "prometheus")
    assert source["url"] == "http://127.0.0.1:9090"
    (provider,) = load(files["/etc/grafana/provisioning/dashboards/labctl.yaml"])["providers"]
    assert (provider["folderUid"], provider["folder"]) == FOLDER
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/labctl"


def test_apt_is_told_where_grafana_is_and_who_signed_it(whole: Told) -> None:
    (source,) = whole["watch-grafana_repository"]
    assert source["file"] == "/etc/apt/sources.list.d/labctl-grafana.sources"
    fields = dict(line.split(": ", 1) for line in source["content"].splitlines()[1:])
    assert fields == {
        "Types": "deb",
        "URIs": "https://packages.example.net",
        "Suites": "stable",
        "Components": "main",
        "Signed-By": "/etc/apt/keyrings/labctl-grafana.asc",
    }


def test_all_of_it_can_be_set_up_and_not_started(whole: Told) -> None:
    started = {name: asked["start"] for name, asked in whole.items() if "start" in asked}
    assert len(started) == 6
    assert not any(started.values())


def test_a_key_that_could_be_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    repository = {"uris": "https://a", "suites": "b", "signed_by": "http://a/key"}
    with pytest.raises(AssertionError, match="a path on this machine or an https address"):
        play(tmp_path, "all: {hosts: {elsewhere: }}", grafana_repository=repository)


def test_the_embedded_lab_is_watched_on_its_loopback(tmp_path: Path) -> None:
    """And a lab without the group is watched from this machine."""
    told = play(tmp_path, data_path("inventory/local"))
    assert set(told) == {"localhost-node_exporter", "localhost-prometheus"}
    assert told["localhost-node_exporter"]["url"] == "http://127.0.0.1:9100/"
    files = told["localhost-prometheus"]["files"]
    node = load(files["/etc/prometheus/prometheus.yml"])["scrape_configs"][1]
    assert node["static_configs"] == [
        {"targets": ["127.0.0.1:9100"], "labels": {"instance": "localhost"}}
    ]
