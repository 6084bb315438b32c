"""Provisioning up to Ansible: the look-up of a lab, events, and errors that name host, task and mend.

Small playbooks that touch nothing run for real; what they run on is a machine called `here`.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from labctl import playbook, provision
from labctl.errors import InputError, ProvisionError, WaitTimeout
from labctl.playbook import PlaybookRun, TaskEvent, task_event

HERE = """
hypervisors:
  hosts:
    here: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}",
           ansible_remote_tmp: "{{ lookup('ansible.builtin.config', 'DEFAULT_LOCAL_TMP') }}"}
"""


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `playbooks/local.yml` is what `provision` runs on `here`; returns that file."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "hosts.yml").write_text(HERE)
    book = tmp_path / "playbooks" / "local.yml"
    monkeypatch.setattr(provision, "data_path", tmp_path.joinpath)
    return book


def write(book: Path, tasks: str) -> str:
    """Write a playbook of `tasks`, for the embedded lab and every other; returns the lab to run it on."""
    for name in (provision.EMBEDDED, provision.SITE):
        text = f"- hosts: hypervisors\n  gather_facts: false\n  tasks:\n{tasks}"
        book.with_name(name).write_text(text)
    return str(book.parent.parent / "hosts.yml")


def test_unknown_lab_names_the_near_one() -> None:
    with pytest.raises(InputError) as caught:
        provision.provision("lcoal")
    assert "lcoal" in str(caught.value)
    assert "local" in (caught.value.mend or "")
    assert caught.value.exit_code == 2


def test_events_and_changes_are_told(play: Path) -> None:
    lab = write(
        play,
        "    - {name: Same, ansible.builtin.command: 'true', changed_when: false}\n"
        "    - {name: Other, ansible.builtin.command: 'true', changed_when: true}\n"
        "    - {name: Left out, ansible.builtin.command: 'true', when: false}\n",
    )
    told: list[TaskEvent] = []
    result = provision.provision(lab, on_task=told.append)
    assert [(e.host, e.task, e.status) for e in told] == [
        ("here", "Same", "ok"),
        ("here", "Other", "changed"),
        ("here", "Left out", "skipped"),
    ]
    assert [e.task for e in result.changed] == ["Other"]
    assert (result.ok, result.failed, result.hosts) == (3, 0, ["here"])


def test_check_mode_changes_nothing(play: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    lab = write(
        play, f"    - {{name: Make, ansible.builtin.file: {{path: {made}, state: directory}}}}\n"
    )
    assert [e.task for e in provision.provision(lab, check=True).changed] == ["Make"]
    assert not made.exists()
    assert [e.task for e in provision.provision(lab, diff=True).changed] == ["Make"]
    assert made.is_dir()
    assert provision.provision(lab, check=True).changed == []


def test_a_difference_is_shown_when_it_is_asked_for(play: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.write_text("old\n")
    copy = f'{{content: "new\\n", dest: {made}}}'
    lab = write(play, f"    - {{name: Write, ansible.builtin.copy: {copy}}}\n")
    (silent,) = provision.provision(lab, check=True).changed
    assert silent.diff == ""
    (would,) = provision.provision(lab, check=True, diff=True).changed
    assert "-old\n+new" in would.diff.replace("\r", "")
    assert made.read_text() == "old\n"
    (done,) = provision.provision(lab, diff=True).changed
    assert "-old\n+new" in done.diff.replace("\r", "")


def test_what_a_playbook_says_is_told(play: Path) -> None:
    lab = write(play, "    - {name: Say, ansible.builtin.debug: {msg: there is no KVM}}\n")
    told: list[TaskEvent] = []
    provision.provision(lab, on_task=told.append)
    assert [str(event) for event in told] == ["here: Say: ok: there is no KVM"]


def test_no_connection_outlives_the_run(play: Path) -> None:
    """ssh keeps one for a minute, with its environment written over: it is known by its socket."""
    home = play.parent / "home"
    title = f"ssh: {home}/cp/0123 [mux]"
    with subprocess.Popen([title, "60"], executable="/bin/sleep", env={}) as kept:
        playbook._end_workers(home)
        assert kept.wait(10) == -signal.SIGKILL


def test_a_failed_task_is_named_with_its_mend(play: Path) -> None:
    lab = write(
        play,
        "    - {name: Look, ansible.builtin.fail: {msg: 'It is not there. Mend: put it there.'}}\n",
    )
    with pytest.raises(ProvisionError) as caught:
        provision.provision(lab)
    assert str(caught.value) == "here: Look: It is not there.\n  mend: put it there."
    assert caught.value.exit_code == 3


def test_an_error_of_ansible_gets_a_mend(play: Path) -> None:
    lab = write(
        play, "    - {name: Sudo, ansible.builtin.fail: {msg: 'sudo: a password is required'}}\n"
    )
    with pytest.raises(ProvisionError, match="let this user sudo"):
        provision.provision(lab)


def test_a_failure_that_is_ignored_is_none(play: Path) -> None:
    lab = write(
        play,
        "    - {name: Try, ansible.builtin.command: 'false', ignore_errors: true}\n"
        "    - {name: Go on, ansible.builtin.command: 'true'}\n",
    )
    assert provision.provision(lab).failed == 0


def test_a_failure_that_a_playbook_rescues_is_told_and_no_end(play: Path) -> None:
    lab = write(
        play,
        "    - block: [{name: Try, ansible.builtin.command: 'false'}]\n"
        "      rescue: [{name: Mend, ansible.builtin.command: 'true'}]\n",
    )
    assert provision.provision(lab).failed == 1


@pytest.fixture
def pair(play: Path) -> str:
    """A lab of two hosts, `far` and `away`, that ssh does not reach."""
    lab = Path(write(play, "    - {name: Reach, ansible.builtin.ping: }\n"))
    ssh = lab.parent / "ssh"
    ssh.write_text("#!/bin/sh\necho 'ssh: somebody hung up' >&2\nexit 255\n")
    ssh.chmod(0o755)
    lab.write_text(
        f"hypervisors: {{hosts: {{far: , away: }}, vars: {{ansible_ssh_executable: {ssh}}}}}\n"
    )
    return str(lab)


def test_an_unreachable_host_is_named(pair: str) -> None:
    with pytest.raises(ProvisionError) as caught:
        provision.provision(pair, limit="far")
    assert caught.value.place == "far"
    assert caught.value.fault == "ssh: somebody hung up"
    assert caught.value.mend == "check the way to it: ssh far true"


def test_each_host_that_failed_is_named(pair: str) -> None:
    with pytest.raises(ProvisionError) as caught:
        provision.provision(pair)
    said = str(caught.value)
    assert said.startswith("2 hosts failed\n")
    for host in ("far", "away"):
        mend = f"check the way to it: ssh {host} true"
        assert f"{host}: ssh: somebody hung up\n  mend: {mend}" in said


def test_a_limit_that_fits_no_host_is_a_users_mistake(pair: str) -> None:
    with pytest.raises(InputError, match="no such host") as caught:
        provision.provision(pair, limit="no body")
    assert "--limit='no body'" in str(caught.value)
    assert "ansible-inventory --graph" in (caught.value.mend or "")


def test_an_inventory_without_hosts_is_refused(play: Path) -> None:
    lab = Path(write(play, "    - {name: Same, ansible.builtin.command: 'true'}\n"))
    lab.write_text("others: {hosts: {far: }}\n")
    with pytest.raises(InputError, match="no group `hypervisors`"):
        provision.provision(str(lab))


def test_a_host_without_a_partner_is_told_before_anything_is_done(pair: str) -> None:
    Path(pair).write_text("hypervisors: {hosts: {far: }}\n")
    with pytest.raises(InputError, match="far has no other host to migrate to"):
        provision.provision(pair)


@pytest.mark.parametrize(("hosts", "book"), [(1, "local.yml"), (2, "site.yml")])
def test_the_lab_decides_which_playbook_it_is(
    play: Path, monkeypatch: pytest.MonkeyPatch, hosts: int, book: str
) -> None:
    lab = Path(write(play, ""))
    named = ", ".join(f"h{n}: {{ansible_connection: local}}" for n in range(hosts))
    lab.write_text(f"hypervisors: {{hosts: {{{named}}}}}\n")
    played: list[tuple[str, list[str]]] = []

    def events(run: PlaybookRun) -> Iterator[TaskEvent]:
        played.append((run.playbook.name, run.options))
        run.status, run.hosts = "successful", ["h0"]
        yield from ()

    monkeypatch.setattr(PlaybookRun, "events", events)
    provision.provision(str(lab), check=True, diff=True, limit="h0")
    provision.unprovision(str(lab))
    assert played == [(book, ["--check", "--diff", "--limit=h0"]), ("unprovision.yml", [])]


def test_a_broken_playbook_says_where(play: Path) -> None:
    lab = write(play, "    - {name: Nothing, ansible.builtin.no_such_module: }\n")
    with pytest.raises(ProvisionError, match="no_such_module"):
        provision.provision(lab)


def still_running(lab: str) -> list[str]:
    """Processes with the inventory in their command line: Ansible and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if lab.encode() in path.read_bytes():
                found.append(path.read_text())
    return found


def test_an_ansible_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    """Then ansible-runner's thread is gone and says `running` for ever."""
    run = PlaybookRun(tmp_path / "p.yml", tmp_path, [], 1.0, status="running")
    with pytest.raises(ProvisionError, match="ansible-playbook could not be started") as caught:
        provision._judge(run, [], 1.0)
    assert "ansible-playbook --version" in (caught.value.mend or "")


def test_the_time_out_has_a_name_and_ends_ansible(play: Path) -> None:
    lab = write(play, "    - {name: Hang, ansible.builtin.wait_for: {path: /none, timeout: 60}}\n")
    with pytest.raises(WaitTimeout) as caught:
        provision.provision(lab, timeout_s=4)
    assert caught.value.wait == "provision"
    assert not still_running(lab)


def test_an_interrupted_caller_ends_ansible(play: Path, tmp_path: Path) -> None:
    """An exception in `on_task` (Ctrl-C is one) ends the playbook before its next task but one."""
    made = tmp_path / "made"
    lab = write(
        play,
        "    - {name: First, ansible.builtin.command: 'true'}\n"
        "    - {name: Hang, ansible.builtin.wait_for: {path: /none, timeout: 60}}\n"
        f"    - {{name: Last, ansible.builtin.file: {{path: {made}, state: directory}}}}\n",
    )

    def interrupt(task: TaskEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        provision.provision(lab, on_task=interrupt)
    assert not made.exists()
    assert not still_running(lab)


def test_failed_items_speak_for_a_loop() -> None:
    answer = {
        "results": [
            {"failed": False, "msg": "fine"},
            {"failed": True, "msg": "no", "stderr": "why\n"},
        ],
        "msg": "All items completed",
    }
    data = {"host": "a", "task": "t", "role": "r", "res": answer}
    event = task_event({"event": "runner_on_failed", "event_data": data})
    assert event is not None
    assert str(event) == "a: r: t: failed: no why"
