"""What cannot be done, and why: the rules that mark a cell of a plan as unsupported.

A rule is a pure function of the cell and of what the source and the destination said they can do.
Without capabilities (a plan made offline) a rule that needs them says nothing. A combination is
refused because the QEMU at hand refused it when it was asked; what it accepts and then breaks it
cannot tell, and only those rules know a version: see `labctl.campaign.proven_rules`.
"""

from collections.abc import Iterator

from labctl.campaign.asked import asked_capabilities, asked_words
from labctl.campaign.capabilities import Capabilities
from labctl.campaign.carriers import SOFTWARE
from labctl.campaign.cells import Cell
from labctl.campaign.factors import FACTORS
from labctl.campaign.option_rules import OPTION_RULES
from labctl.campaign.proven_rules import PROVEN_RULES
from labctl.campaign.rule import Ends, Refusal, Rule
from labctl.campaign.specs import PAGE_BYTES, RDMA, GuestSpec, working_set_room
from labctl.units import format_size

QEMU_OVERHEAD_BYTES = 128 * 2**20
"""What one QEMU may need beside its guest's memory."""


def first_refusal(
    cell: Cell, source: Capabilities | None, destination: Capabilities | None
) -> Refusal | None:
    """The first rule that refuses the cell between these two, or None when it can run."""
    if source and destination:
        source, destination = source.of(cell.qemu), destination.of(cell.qemu)
    for rule in RULES:
        reason = rule.check(cell, source, destination)
        if reason:
            return Refusal(rule.id, reason)
    return None


def rules_page() -> str:
    """The reference page of all rules, generated from the registry."""
    head = (
        "# Rules: what a plan marks as unsupported\n\n"
        "Generated from `labctl.campaign.rules`; a test compares the two.\n\n"
        "A cell that a rule refuses stays in the plan with the rule's id and the reason, and is\n"
        "not run. Rules are tried in this order; the first that refuses is named.\n"
    )
    return head + "".join(f"\n## {rule.id}\n\n{rule.page}\n" for rule in RULES)


def _working_set_too_large(cell: Cell) -> str | None:
    room = working_set_room(cell.guest.memory_bytes)
    if cell.guest.working_set_bytes <= room:
        return None
    return (
        f"a working set of {format_size(cell.guest.working_set_bytes)} does not fit a memory of "
        f"{format_size(cell.guest.memory_bytes)}: {room // 2**20}MiB is the most"
    )


def _working_set_too_small(cell: Cell) -> str | None:
    pages = cell.guest.working_set_bytes // PAGE_BYTES
    if cell.guest.write_rate_bytes_per_s and min(cell.guest.slices) < 1:
        return f"{cell.guest.vcpus} vCPUs cannot share {pages} page(s)"
    return None


def _parts(cell: Cell) -> str | None:
    guest = cell.guest
    if len(guest.parts) != guest.vcpus:
        return f"{len(guest.parts)} parts ({guest.vcpu_parts}) are not for {guest.vcpus} vCPU(s)"
    return None


def _load_option(cell: Cell) -> str | None:
    """An option of the load that is varied where it changes nothing."""
    guest = cell.guest
    idle = [name for name in ("profile", "read_share") if not guest.write_rate_bytes_per_s]
    unused = {
        **dict.fromkeys(idle, "writes nothing"),
        **({} if guest.pattern == "zipf" else {"zipf_exponent": f"writes {guest.pattern}"}),
        **(
            {} if guest.content == "delta" else {"delta": f"writes content that is {guest.content}"}
        ),
    }
    for name, why in unused.items():
        factor = FACTORS[name]
        default = GuestSpec.model_fields[factor.field].default
        if name in cell.factors and getattr(guest, factor.field) != default:
            return f"`{name}` is {cell.factors[name]}, and the guest {why}"
    return None


def _qemu_missing(_cell: Cell, ends: Ends) -> str | None:
    return next((f"the {role}: {end.missing}" for role, end in ends.roles() if end.missing), None)


def _rdma(cell: Cell, ends: Ends) -> str | None:
    if cell.transport != RDMA:
        return None
    without = {role: end.rdma_fault for role, end in ends.roles() if not end.rdma}
    if not without:
        return None
    why = "; ".join(dict.fromkeys(fault for fault in without.values() if fault))
    return f"no RDMA at the {' and the '.join(without)}" + (f": {why}" if why else "")


def _unshaped_card(cell: Cell, ends: Ends) -> str | None:
    untouched = cell.link.bandwidth_bits_per_s is None and cell.link == cell.link.bare
    if cell.transport != RDMA or untouched:
        return None
    cards = [f"{end.rdma_provider} at the {role}" for role, end in ends.roles()
             if end.rdma_provider and end.rdma_provider not in SOFTWARE]  # fmt: skip
    return f"the link is shaped, and {' and '.join(cards)} sends past that" if cards else None


def _zero_copy(cell: Cell, ends: Ends) -> str | None:
    if cell.algorithm.zero_copy and not ends.source.zero_copy:
        return "the kernel copies what crosses this link (a veth pair)"
    return None


def _link_carries_ssh(cell: Cell, ends: Ends) -> str | None:
    link = cell.link
    carrying = [
        role
        for role, end in ends.roles()
        if ((link.bandwidth_bits_per_s is not None or link != link.bare) and not end.shapeable)
        or (link.mtu is not None and end.fixed_mtu not in (None, link.mtu))
    ]
    return (
        f"migrations cross the interface that carries SSH, at the {' and the '.join(carrying)}"
        if carrying
        else None
    )


def _netem(cell: Cell, ends: Ends) -> str | None:
    if cell.link == cell.link.bare:
        return None
    refusals = (f"the {role}'s kernel says of netem: {end.netem_refused}"
                for role, end in ends.roles() if end.netem_refused is not None)  # fmt: skip
    return next(refusals, None)


def _missing(cell: Cell, ends: Ends) -> str | None:
    for role, end in ends.roles():
        missing = sorted(asked_capabilities(cell) - set(end.migration_capabilities))
        if missing:
            return f"QEMU {end.qemu_version} at the {role} has no {', '.join(missing)}"
    return None


def _userfaultfd(cell: Cell, ends: Ends) -> str | None:
    if "postcopy-ram" in asked_capabilities(cell) and not ends.destination.userfaultfd:
        return "the destination may not use userfaultfd"
    return None


def _refused(cell: Cell, ends: Ends) -> Iterator[tuple[frozenset[str], str, str]]:
    """Each combination of this cell that a QEMU at hand has refused, its message, and who said that."""
    asked = asked_words(cell) | {cell.transport}
    for role, end in ends.roles():
        for key, message in end.refused.items():
            prefix, _, names = key.rpartition(":")
            combination = frozenset(names.split("+"))
            if prefix in ("", role) and combination <= asked:
                said = f"QEMU {end.qemu_version} at the {role} says of {names}: {message}"
                yield combination, message, said


def _multifd_postcopy(cell: Cell, ends: Ends) -> str | None:
    """Of a combination that holds more than these two, QEMU's words say whether it minds them."""
    pair = {"multifd", "postcopy-ram"}
    for names, message, said in _refused(cell, ends):
        if pair <= names and (names <= pair | {"events"} or "postcopy" in message.lower()):
            return said
    return None


def _qemu_refuses(cell: Cell, ends: Ends) -> str | None:
    return next((said for _, _, said in _refused(cell, ends)), None)


def _host_memory(cell: Cell, ends: Ends) -> str | None:
    each = cell.guest.memory_bytes + QEMU_OVERHEAD_BYTES
    if ends.source.host == ends.destination.host:
        there = min(ends.source.memory_available_bytes, ends.destination.memory_available_bytes)
        if 2 * each > there:
            return (
                f"the host has {there // 2**20}MiB left, two machines need {2 * each // 2**20}MiB"
            )
        return None
    for role, end in ends.roles():
        if each > end.memory_available_bytes:
            there = end.memory_available_bytes
            return f"the {role} has {there // 2**20}MiB left, a machine needs {each // 2**20}MiB"
    return None


RULES: tuple[Rule, ...] = (
    *OPTION_RULES,
    Rule(
        "working-set-exceeds-memory",
        "The working set does not fit the guest's memory.",
        "The guest's program, its page tables and 8 bytes for each page it writes "
        "stand in the same memory; firmware keeps some.",
        "give the guest more memory, or a working set a few MiB smaller than it.",
        by_cell=_working_set_too_large,
    ),
    Rule(
        "working-set-too-small",
        "The working set has not a page for each vCPU.",
        "Each vCPU writes pages of its own, so that what every page must hold is known at the end.",
        "give the working set at least 4KiB for each vCPU.",
        by_cell=_working_set_too_small,
    ),
    Rule(
        "parts-need-vcpus",
        "`vcpu_parts` names another number of parts than the guest has vCPUs.",
        "Each vCPU has one part of the working set and of the write rate.",
        "write one part for each vCPU, as in `vcpus: 2` and `vcpu_parts: 3:1`, or `equal`.",
        by_cell=_parts,
    ),
    Rule(
        "load-option-unused",
        "`zipf_exponent`, `delta`, `read_share` or `profile` is a factor where it changes nothing.",
        "An exponent is for the pattern zipf, a delta for the content delta, and what writes nothing "
        "has neither reads beside its writes nor a rate that changes. The cell runs where the option "
        "has its default, and not again under another level.",
        "leave those cells out by `exclude`.",
        by_cell=_load_option,
    ),
    Rule(
        "qemu-missing",
        "The cell's `qemu` is not on a host, or does not answer.",
        "Both ends of a trial run the QEMU that the cell names, by its path on the hosts.",
        "correct the path; the role `qemu_beside` puts QEMU of newer Debian suites beside the "
        "host's own.",
        by_ends=_qemu_missing,
    ),
    Rule(
        "transport-not-in-lab",
        "The transport is `rdma`, and a host of the pair has no RDMA device that QEMU can use.",
        "RDMA needs a device, or the kernel's own in software, at both ends: one that belongs to the interface "
        "which migrations cross, with its port active; and a QEMU built with RDMA, which each was asked.",
        "use a lab whose hosts have RDMA (`labctl lab check LAB` says what there is, the role `rdma` sets it "
        "up), or `transport: tcp`.",
        by_ends=_rdma,
    ),
    Rule(
        "rdma-not-shaped",
        "The transport is `rdma` over a card, and the campaign shapes the link by a rate, a delay or a loss.",
        "A card sends RDMA by itself. None of it passes the queueing disciplines of the kernel, by which labctl "
        "shapes a link, so it would not be held to what the campaign says. RDMA in software does pass them.",
        "leave the link as it is: `bandwidth: none`, and neither `delay` nor `loss`.",
        by_ends=_unshaped_card,
    ),
    Rule(
        "capability-missing",
        "QEMU does not know a migration capability that the cell needs.",
        "The list was asked of the QEMU at hand, on both sides, by `query-migrate-capabilities`.",
        "use a newer QEMU, or leave the option out.",
        by_ends=_missing,
    ),
    Rule(
        "userfaultfd",
        "Postcopy needs userfaultfd at the destination, and it is not permitted there.",
        "The destination runs before its memory is there; the kernel tells QEMU of each page that "
        "is missing through userfaultfd. A plain user may not use it for faults of the kernel "
        "itself unless the host allows that.",
        "`labctl lab provision LAB` permits it, by `vm.unprivileged_userfaultfd=1` or through "
        "/dev/userfaultfd; `labctl doctor` says which is missing.",
        by_ends=_userfaultfd,
    ),
    Rule(
        "multifd-postcopy",
        "multifd and postcopy are asked for together, and the QEMU at hand refuses that.",
        "Multifd's threads place pages on their own, which some versions of QEMU cannot reconcile "
        "with pages that the destination requests. It was tried with this QEMU.",
        "set `multifd_channels: 0` for postcopy and hybrid, or use a QEMU that allows both.",
        by_ends=_multifd_postcopy,
    ),
    Rule(
        "qemu-refuses",
        "The QEMU at hand refuses a capability, or a combination of capabilities or with RDMA, of the cell.",
        "Each was tried on both sides before the plan was made; the reason is QEMU's own message. With RDMA, "
        "QEMU was also asked to migrate to an address without a host: it says what it has against the "
        "capabilities before it looks for the host.",
        "what the message says; otherwise leave the cell out, or use another QEMU.",
        by_ends=_qemu_refuses,
    ),
    Rule(
        "zero-copy-copied",
        "`zero_copy` is set, and the link of the lab is one on which the kernel copies.",
        "The embedded lab's link is a veth pair: what is sent without a copy is copied when it reaches "
        "the other end, which QEMU counts (`dirty-sync-missed-zero-copy`) and which costs more than "
        "not to ask for it.",
        "use a lab of two hosts, or leave the option out.",
        by_ends=_zero_copy,
    ),
    Rule(
        "link-carries-ssh",
        "The campaign shapes the link, by a rate, a delay or a loss, or sets its MTU, and on a host of the lab that interface carries SSH too.",
        "A shaped interface would slow down the channel over which labctl speaks with the host, and the "
        "beats of the guest, which must not cross the link that is measured.",
        "name another interface by `labctl_migration_interface`, or leave the link as it is: `bandwidth: none`, `mtu: none`, and neither `delay` nor `loss`.",
        by_ends=_link_carries_ssh,
    ),
    Rule(
        "netem-missing",
        "`delay` or `loss` is asked of the link, and the kernel of a host has no netem.",
        "netem is the part of Linux that holds packets and drops them, the module sch_netem. Each host's kernel was asked "
        "for it, which loads the module where it is there.",
        "boot a kernel that has it, or install its module: Fedora and RHEL have it in `kernel-modules-extra`, Ubuntu in "
        "`linux-modules-extra`, Debian beside the kernel itself; or leave `delay` and `loss` at 0.",
        by_ends=_netem,
    ),
    *PROVEN_RULES,
    Rule(
        "host-memory",
        "The machines do not fit the memory that the hosts have left.",
        "During a migration both machines exist. Where source and destination are one host, it "
        "holds both. A host that swaps measures its disk.",
        "give the guest less memory, free some, or use a lab with larger hosts.",
        by_ends=_host_memory,
    ),
)
"""Every rule, in the order in which they are tried."""
