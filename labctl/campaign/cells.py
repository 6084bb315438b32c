"""Cells: a campaign's matrix, expanded."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from labctl.campaign.carriers import carrier
from labctl.campaign.factors import FACTORS, Cells, combinations
from labctl.campaign.models import Campaign
from labctl.campaign.names import cell_name, twin_name
from labctl.campaign.profiles import Profile
from labctl.campaign.specs import AlgorithmSpec, GuestSpec, LimitsSpec, LinkSpec, Transport


class Cell(BaseModel):
    """One combination of levels, and all that a trial of it needs to know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """`precopy,write_rate=400MiBps`: fit for a file name"""
    factors: dict[str, str]
    """canonical level of every factor; `algorithm` is always the first"""
    guest: GuestSpec
    profile: Profile = Profile()
    """the guest's profile in full"""
    link: LinkSpec
    limits: LimitsSpec
    algorithm: AlgorithmSpec
    transport: Transport
    rdma_provider: str | None = None
    """driver of the RDMA device that carries it; None: tcp, or planned for no lab"""
    qemu: str | None = None
    """path of both ends' QEMU; None: the lab's own"""
    twin_of: str | None = None
    """the cell that it repeats, to show the noise; None of every other"""

    @property
    def carrier(self) -> str:
        """Its transport by the name that it is shown with: `rdma (soft-RoCE)`."""
        return carrier(self.transport, self.rdma_provider)


def expand(campaign: Campaign) -> list[Cell]:
    """Every cell, in the matrix's order (the last factor varies fastest), then those included."""
    cells = Cells(campaign.matrix)
    out = 0
    for entry in campaign.exclude:
        out |= cells.matching(entry)
    kept = [
        levels for index, levels in enumerate(combinations(campaign.matrix)) if not out >> index & 1
    ]
    return [_cell(campaign, levels) for levels in (*kept, *campaign.include)]


def twin(cell: Cell) -> Cell:
    """The same cell once more, under a name of its own."""
    return cell.model_copy(update={"name": twin_name(cell.name), "twin_of": cell.name})


def _cell(campaign: Campaign, levels: Mapping[str, str]) -> Cell:
    factors = {"algorithm": campaign.algorithm} | {
        name: levels[name] for name in campaign.factors if name in levels
    }
    changes: dict[str, dict[str, Any]] = {}
    for name, level in factors.items():
        if name != "algorithm":
            factor = FACTORS[name]
            value = factor.scalar.read(level)
            if factor.inside:  # one of several forms, of which the level takes the place
                holder = type(AlgorithmSpec.model_fields[factor.inside].default)
                value = holder(**{factor.field: value})
            changes.setdefault(factor.section, {})[factor.inside or factor.field] = value
    variant = campaign.variants[factors["algorithm"]]
    guest = campaign.guest.model_copy(update=changes.get("guest"))
    return Cell(
        name=cell_name(factors),
        factors=factors,
        guest=guest,
        profile=campaign.profile(guest.profile),
        link=campaign.link.model_copy(update=changes.get("link")),
        limits=campaign.limits.model_copy(update=changes.get("limits")),
        algorithm=variant.model_copy(update=changes.get("algorithm")),
        transport=changes.get("", {}).get("transport", campaign.transport),
        qemu=campaign.qemu_path(changes.get("", {}).get("qemu", campaign.qemu)),
    )
