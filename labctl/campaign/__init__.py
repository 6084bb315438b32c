"""The campaign: one YAML file, checked, expanded into cells, ordered into a plan.

Pure: nothing here does any I/O but reading the campaign's file.

    campaign = load_campaign("campaigns/quickstart.yaml")   # CampaignError names file:line
    cells = expand(campaign)                                # one a combination of levels
    plan = make_plan(campaign, pairs)                       # every trial, in order, refusals too
"""

from labctl.campaign.asked import asked_capabilities, asked_parameters, asked_words
from labctl.campaign.capabilities import Capabilities
from labctl.campaign.cells import Cell, expand
from labctl.campaign.dump import dump_campaign
from labctl.campaign.estimate import estimate_run_s, estimate_transfer_s, estimate_trial_s
from labctl.campaign.growth import at_most_s, grown, regrown
from labctl.campaign.loader import load_campaign, parse_campaign
from labctl.campaign.models import BUILT_IN, Campaign
from labctl.campaign.names import cell_name, parse_cell_name
from labctl.campaign.plan import (
    Pairs,
    Plan,
    make_plan,
)
from labctl.campaign.planned import Direction, PlannedTrial
from labctl.campaign.profiles import Asked, BurstSpec, Profile, ProfileSpec, StepSpec
from labctl.campaign.repetitions import NoiseSpec, RepetitionsSpec, UntilSpec
from labctl.campaign.resume import differences
from labctl.campaign.rule import Refusal, Rule
from labctl.campaign.rules import RULES, first_refusal, rules_page
from labctl.campaign.specs import (
    AlgorithmKind,
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    TimingSpec,
    Transport,
)

__all__ = [
    "BUILT_IN",
    "RULES",
    "AlgorithmKind",
    "AlgorithmSpec",
    "Asked",
    "BurstSpec",
    "Campaign",
    "Capabilities",
    "Cell",
    "Direction",
    "GuestSpec",
    "LimitsSpec",
    "LinkSpec",
    "NoiseSpec",
    "Pairs",
    "Plan",
    "PlannedTrial",
    "Profile",
    "ProfileSpec",
    "Refusal",
    "RepetitionsSpec",
    "Rule",
    "StepSpec",
    "TimingSpec",
    "Transport",
    "UntilSpec",
    "asked_capabilities",
    "asked_parameters",
    "asked_words",
    "at_most_s",
    "cell_name",
    "differences",
    "dump_campaign",
    "estimate_run_s",
    "estimate_transfer_s",
    "estimate_trial_s",
    "expand",
    "first_refusal",
    "grown",
    "load_campaign",
    "make_plan",
    "parse_campaign",
    "parse_cell_name",
    "regrown",
    "rules_page",
]
