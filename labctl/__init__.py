"""labctl: a laboratory for live VM migration.

    import labctl

    campaign = labctl.load_campaign("campaigns/quickstart.yaml")
    result = labctl.run(campaign, out="runs")
    frame = labctl.load_run(result.directory).frame()      # a pandas frame, one row a trial

The verbs are functions of `labctl.api`, loaded when one is first asked for; what they raise on
purpose is a `labctl.errors.LabctlError`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labctl.api import Result, load_campaign, load_run, plan, resume, run

__all__ = ["Result", "__version__", "load_campaign", "load_run", "plan", "resume", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labctl import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
