"""The Grafana dashboards of labctl, generated: `python -m scripts.boards` writes dashboards/*.json anew."""

import warnings

with warnings.catch_warnings():
    # The SDK would rather have dashboards of version 2, which only new Grafanas take. All take the ones that are made here.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard, timeseries  # noqa: F401 - what is loaded does not warn again
