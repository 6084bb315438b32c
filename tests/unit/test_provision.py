"""Provisioning up to Ansible: the look-up of a lab, events, and errors that name host, task and mend.

Small playbooks that touch nothing run for real; what they run on is a machine called `here`.
"""

from contextlib import suppress
from pathlib import Path

import pytest

from labctl import provision
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
    """A folder whose `playbooks/local.yml` is what `provision` runs; returns that file."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "hosts.yml").write_text(HERE)
    book = tmp_path / "playbooks" / "local.yml"
    monkeypatch.setattr(provision, "data_path", tmp_path.joinpath)
    return book


def write(book: Path, tasks: str) -> str:
    """Write a playbook of `tasks`; returns the lab to run it on."""
    book.write_text(f"- hosts: hypervisors\n  gather_facts: false\n  tasks:\n{tasks}")
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


def test_an_unreachable_host_is_named(play: Path) -> None:
    lab = Path(write(play, "    - {name: Reach, ansible.builtin.ping: }\n"))
    ssh = lab.parent / "ssh"
    ssh.write_text("#!/bin/sh\necho 'ssh: connect to host far: Connection refused' >&2\nexit 255\n")
    ssh.chmod(0o755)
    lab.write_text(f"hypervisors: {{hosts: {{far: {{ansible_ssh_executable: {ssh}}}}}}}\n")
    with pytest.raises(ProvisionError) as caught:
        provision.provision(str(lab))
    assert caught.value.place == "far"
    assert "Connection refused" in caught.value.fault
    assert caught.value.mend == "check the way to it: ssh far true"


def test_an_inventory_without_hosts_is_refused(play: Path) -> None:
    lab = Path(write(play, "    - {name: Same, ansible.builtin.command: 'true'}\n"))
    lab.write_text("others: {hosts: {far: }}\n")
    with pytest.raises(InputError, match="ansible-inventory --list"):
        provision.provision(str(lab))


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
