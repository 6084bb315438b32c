"""Dashboard `hosts`: the machines that a lab is made of, and the instrument."""

from functools import partial
from typing import Final

from grafana_foundation_sdk.builders import dashboard

from scripts.boards.asking import RUNS, Query, once
from scripts.boards.frame import board, several
from scripts.boards.panels import curves

ABOUT: Final = (
    "The hosts of a lab while campaigns run: by node_exporter (installed by playbooks/monitoring.yml), and by labctl. **Above**: "
    "whether the instrument is well. **Below**: processors, memory, network and RDMA counters of each host."
)
HOST: Final = 'instance=~"$host"'
PORT: Final = "{{instance}} {{device}} {{port}}"


def _second(counter: str, legend: str, more: str = "") -> Query:
    """What a counter of node_exporter counts in a second."""
    return f"rate(node_{counter}{{{HOST}{more}}}[$__rate_interval])", legend


of_hosts = partial(curves, step="5s")
"""playbooks/monitoring.yml has hosts scraped no more often"""


def made() -> dashboard.Dashboard:
    """The dashboard. A host's figures have no algorithm and no transport, so neither is chosen here."""
    variables = [several(name) for name in ("lab", "campaign", "run", "host")]
    return (
        board("hosts", ABOUT, variables, since="now-1h", refresh="30s")
        .with_row(dashboard.Row("The instrument"))
        .with_panel(curves(
            "Node connections", "Nodes of each pair that are connected; 0 while a pair is lost.", "short",
            (once(f"labctl_lab_node_connections{{{RUNS}}}"), "{{pair}}"), span=6,
        ))
        .with_panel(curves(
            "Pairs", "Pairs of hosts by what they do: busy, idle, or set aside because they could not be opened.", "short",
            (f"sum by (state) ({once(f'labctl_lab_pairs{{{RUNS}}}')})", "{{state}}"), span=6,
        ))
        .with_panel(curves(
            "Clock offset", "How far each host's time of day is from the observer's. Figures do not rest on it; logs of several hosts do.", "s",
            (f"abs({once(f'labctl_lab_clock_offset_seconds{{{RUNS}}}')})", "{{pair}} {{side}}"), span=6,
        ))
        .with_panel(curves(
            "Sampling lag", "The longest that a 10 ms sample was late in a pair's last trial.", "s",
            (once(f"labctl_sampling_lag_seconds{{{RUNS}}}"), "{{pair}}"), span=6,
        ))
        .with_row(dashboard.Row("Hosts, by node_exporter"))
        .with_panel(of_hosts(
            "CPU", "Cores in use.", "short",
            (f"""sum by (instance) (rate(node_cpu_seconds_total{{{HOST}, mode!="idle"}}[$__rate_interval]))""", "{{instance}}"),
        ))
        .with_panel(of_hosts(
            "Memory", "What is not available to programs.", "bytes",
            (f"node_memory_MemTotal_bytes{{{HOST}}} - node_memory_MemAvailable_bytes{{{HOST}}}", "{{instance}}"),
        ))
        .with_panel(of_hosts(
            "Network", "What each interface sends.", "binBps",
            _second("network_transmit_bytes_total", "{{instance}} {{device}}", ', device!="lo"'),
        ))
        .with_panel(of_hosts(
            "Dropped packets", "Packets to be sent that an interface has dropped.", "pps",
            _second("network_transmit_drop_total", "{{instance}} {{device}}", ', device!="lo"'),
        ))
        .with_row(dashboard.Row("RDMA, by node_exporter"))
        .with_panel(of_hosts(
            "RDMA data", "What each RDMA port sends; it passes by the counters of its interface.", "binBps",
            _second("infiniband_port_data_transmitted_bytes_total", PORT), span=8,
        ))
        .with_panel(of_hosts(
            "RDMA discards", "Packets that an RDMA port has dropped, coming in or going out.", "pps",
            _second("infiniband_port_discards_received_total", f"{PORT} in"), _second("infiniband_port_discards_transmitted_total", f"{PORT} out"), span=8,
        ))
        .with_panel(of_hosts(
            "RDMA waits", "Ticks of its clock in which an RDMA port had data and could not send: the other end, or the network, holds it back.", "short",
            _second("infiniband_port_transmit_wait_total", PORT), span=8,
        ))
    )  # fmt: skip
