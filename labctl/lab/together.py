"""Several things done at once, one thread each: hosts are reached, pairs opened and closed side by side."""

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TypeVar

Name = TypeVar("Name")
Answer = TypeVar("Answer")


def attempt_together(
    work: Mapping[Name, Callable[[], Answer]],
) -> tuple[dict[Name, Answer], dict[Name, Exception]]:
    """Do it all at once: what it gave, and what failed, each by name and in the order of `work`.

    Ctrl-C is heard meanwhile, and ends the waiting: what still goes on ends by its own time-outs. A single one is done on this
    thread, so that Ctrl-C ends it.
    """
    answers: dict[Name, Answer] = {}
    faults: dict[Name, Exception] = {}
    ended: SimpleQueue[Name] = SimpleQueue()

    def do(name: Name) -> None:
        try:
            answers[name] = work[name]()
        except Exception as fault:  # noqa: BLE001 - the caller's, who raises it
            faults[name] = fault
        finally:
            ended.put(name)

    if len(work) == 1:
        do(*work)
        return answers, faults
    threads = {
        name: threading.Thread(target=do, args=(name,), name=f"lab-{name}", daemon=True)
        for name in work
    }
    for thread in threads.values():
        thread.start()
    for _ in threads:
        threads[ended.get()].join()
    return (
        {name: answers[name] for name in work if name in answers},
        {name: faults[name] for name in work if name in faults},
    )


def do_together(work: Mapping[Name, Callable[[], Answer]]) -> list[Answer]:
    """The same; the answers in order, or the first fault raised."""
    answers, faults = attempt_together(work)
    for fault in faults.values():
        raise fault
    return list(answers.values())
