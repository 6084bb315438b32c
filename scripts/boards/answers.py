"""What a Prometheus answers to a panel's queries, as Grafana would ask them."""

from dataclasses import dataclass, field
from typing import Any, Final

from labctl.monitoring.prometheus import Prometheus

CLOSE: Final = "10ms"
"""the step of queries about one trial"""


@dataclass(frozen=True)
class Asked:
    """The time that a dashboard shows, and what its variables select: all, but where `selected` says."""

    prometheus: Prometheus
    start_s: float
    end_s: float
    selected: dict[str, str] = field(default_factory=dict)
    trial: tuple[float, float] | None = None
    """from when to when the selected trial ran"""

    def filled(self, expression: str) -> str:
        """An expression without variables."""
        known = {
            "__range": f"{self.end_s - self.start_s:.0f}s",
            "__rate_interval": "5s",
            **dict.fromkeys(
                ("lab", "campaign", "run", "algorithm", "transport", "trial", "host"), ".*"
            ),
            **self.selected,
        }
        for name in sorted(known, key=len, reverse=True):
            expression = expression.replace(f"${name}", known[name])
        assert "$" not in expression, expression
        return expression

    def answers(self, target: dict[str, Any], points: int = 200) -> list[dict[str, Any]]:
        """The series of a query."""
        expression = self.filled(target["expr"])
        if target.get("instant"):
            return self.prometheus.query(expression, self.end_s)
        if target.get("interval") == CLOSE and self.trial is not None:
            return self.prometheus.query_range(expression, *self.trial, 0.01)
        step_s = max(1.0, (self.end_s - self.start_s) / points)
        return self.prometheus.query_range(expression, self.start_s, self.end_s, step_s)


def legend(target: dict[str, Any], series: dict[str, Any]) -> str:
    """The name of a series, as its query says."""
    text = str(target.get("legendFormat") or "")
    for label, value in series["metric"].items():
        text = text.replace("{{" + label + "}}", value)
    return text.strip()
