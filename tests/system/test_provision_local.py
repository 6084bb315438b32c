"""The embedded lab's playbook and its way back, run for real."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl import provision
from labctl.data import data_path

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

# Two small packages of which the first brings the second.
ASKED, BROUGHT = "cowsay", "libtext-charwidth-perl"


def installed() -> set[str]:
    """The names of the packages that are on this machine, whole."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\\n"]
    said = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    return {line[3:].strip() for line in said.splitlines() if line[1] == "i"}


def apt_get(*arguments: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "--yes"]
    options = ["-o", "DPkg::Lock::Timeout=600", "--no-install-recommends"]
    subprocess.run([*command, *options, *arguments], capture_output=True, timeout=600, check=True)


def test_a_second_run_changes_nothing() -> None:
    provision.provision("local")
    again = provision.provision("local")
    assert again.changed == []
    assert (again.failed, again.hosts) == (0, ["localhost"])
    assert provision.provision("local", check=True).changed == []
    assert (
        subprocess.run(["qemu-system-x86_64", "--version"], timeout=30, check=False).returncode == 0
    )


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Playbooks that install ASKED and take it back, in place of labctl's; yields the record's path."""
    if {ASKED, BROUGHT} & installed():
        pytest.skip(f"needs a machine without {ASKED} and {BROUGHT}, to install and remove them")
    books = tmp_path / "playbooks"
    books.mkdir()
    record = tmp_path / "records"
    record.mkdir()  # the caller's own, whatever root writes in it
    for name, tasks_from in ((provision.EMBEDDED, "main"), (provision.WAY_BACK, "remove")):
        (books / name).write_text(
            f"""
- hosts: hypervisors
  gather_subset: [min]
  tasks:
    - ansible.builtin.include_role: {{name: packages, tasks_from: {tasks_from}}}
      vars:
        packages_owner: test
        packages_names: [{ASKED}]
        packages_record_dir: {record}
"""
        )
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(data_path("playbooks/roles")))
    monkeypatch.setattr(provision, "data_path", tmp_path.joinpath)
    yield record / "test.packages"
    if left := {ASKED, BROUGHT} & installed():
        apt_get("purge", *left)


def test_the_way_back_restores_the_packages_of_before(way: Path) -> None:
    before = installed()
    (would,) = provision.provision("local", check=True).changed
    assert would.message == ASKED
    assert installed() == before
    provision.provision("local")
    assert installed() - before == set(way.read_text().split()) >= {ASKED, BROUGHT}
    assert provision.provision("local").changed == []

    assert provision.unprovision("local", check=True).changed
    assert ASKED in installed()
    provision.unprovision("local")
    assert installed() == before
    assert not way.exists()
    assert provision.unprovision("local").changed == []


def test_the_way_back_leaves_what_others_need_by_now(way: Path) -> None:
    """A package that was brought stays when something installed since depends on it."""
    provision.provision("local")
    way.unlink()
    way.write_text(f"{BROUGHT}\n")  # as if only that had been ours
    provision.unprovision("local")
    assert {ASKED, BROUGHT} <= installed()
