"""The campaign file: its models."""

from labctl.campaign.models import (
    BUILT_IN,
    AlgorithmSpec,
    Campaign,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    TimingSpec,
)

__all__ = [
    "BUILT_IN",
    "AlgorithmSpec",
    "Campaign",
    "GuestSpec",
    "LimitsSpec",
    "LinkSpec",
    "TimingSpec",
]
