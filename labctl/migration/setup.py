"""Set-up: both ends are told what the schedule asks for, and say what is in force."""

from labctl.campaign.cells import Cell
from labctl.migration.algorithms import compile_schedule
from labctl.migration.bench import Bench
from labctl.migration.judge import Ends, Judgement
from labctl.migration.raw import RawTrial
from labctl.migration.schedule import Schedule
from labctl.migration.transports import TRANSPORTS, uri
from labctl.node.beats import SIDES


def set_up(bench: Bench, raw: RawTrial, cell: Cell) -> Schedule:
    """Set up both ends, the destination listening; the cell's schedule with its address. Ends when an option is not in force."""
    schedule = compile_schedule(cell)
    for side in SIDES:
        states = [{"capability": n, "state": s} for n, s in schedule.capabilities.items()]
        bench.qmp(side, "migrate-set-capabilities", capabilities=states)
        bench.qmp(side, "migrate-set-parameters", **schedule.parameters)
    address = bench.ends["destination"].address
    bench.qmp("destination", "migrate-incoming", uri=uri(cell.transport, address))
    port = TRANSPORTS[cell.transport].port(bench)
    schedule = schedule.with_uri(uri(cell.transport, address, port))
    for side in SIDES:
        _read_back(bench, raw, side, schedule)
    raw.schedule = {
        "source": schedule.for_source(),
        "destination": schedule.for_destination(),
    }
    return schedule


def _read_back(bench: Bench, raw: RawTrial, side: str, schedule: Schedule) -> None:
    """What is in force; a capability or parameter that was asked for and is not is a failure."""
    capabilities = bench.qmp(side, "query-migrate-capabilities")
    in_force = {c["capability"]: c["state"] for c in capabilities}
    parameters = bench.qmp(side, "query-migrate-parameters")
    raw.qemu[side]["capabilities_in_force"] = in_force
    raw.qemu[side]["parameters_in_force"] = parameters
    if side in raw.rdma:
        raw.rdma[side]["pin_all"] = in_force.get("rdma-pin-all")
        raw.rdma[side]["chunk_bytes"] = parameters.get("x-rdma-chunk-size")
    asked = {**schedule.capabilities, **schedule.parameters}
    found = {**in_force, **parameters}
    wrong = [
        f"{name} is {found.get(name)}, not {value}"
        for name, value in asked.items()
        if found.get(name) != value
    ]
    if wrong:
        reason = f"not in force on the {side}: {'; '.join(wrong)}"
        raise Ends(Judgement("failed", "on_source", reason))
