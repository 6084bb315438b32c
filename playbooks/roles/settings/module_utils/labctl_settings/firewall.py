"""A way through a firewall that is there. Where there is none, none is made."""

from __future__ import annotations

import ipaddress
import json
import shutil
from typing import Any, NamedTuple

from .thing import PATH, State, Thing, run

_COMMENT = "labctl"


class _Chain(NamedTuple):
    """A chain that sees what comes in. `ours` are the rules of labctl in it, each with what deletes it."""

    tool: str
    name: tuple[str, ...]
    ours: dict[str, list[str]]


class Accept(Thing):
    """What comes in over an interface `from` those addresses is accepted, before any other rule of each chain.

    The state says for each chain from whom. Rules live in the kernel alone: a firewall that reads its file again drops them.
    """

    kind = "accept"

    def now(self) -> State:
        return {" ".join(chain.name): sorted(chain.ours) for chain in self._chains()}

    def wanted(self, before: State) -> State:
        addresses = [str(ipaddress.ip_address(text)) for text in self.asked.get("from", [])]
        return {chain: sorted(a for a in addresses if _fits(chain, a)) for chain in self.now()}

    def put(self, state: State) -> None:
        for chain in self._chains():
            asked = state.get(" ".join(chain.name), [])
            for address, delete in chain.ours.items():
                if address not in asked:
                    run(chain.tool, *delete)
            for address in set(asked) - set(chain.ours):
                if chain.tool == "nft":
                    family = "ip6" if ":" in address else "ip"
                    match = ["iifname", self.name, family, "saddr", address]
                    comment = f'"{self._comment(address)}"'
                    run("nft", "insert", "rule", *chain.name, *match, "accept", "comment", comment)
                else:
                    run(chain.tool, "--insert", "INPUT", *self._iptables_rule(address))

    def said(self, state: State) -> str:
        if not state:
            return "no firewall"
        return "; ".join(
            f"{chain} lets in {', '.join(a) or 'nobody'}" for chain, a in state.items()
        )

    def _comment(self, address: str) -> str:
        return f"{_COMMENT} {self.name} {address}"

    def _iptables_rule(self, address: str) -> list[str]:
        match = ["--in-interface", self.name, "--source", address]
        comment = ["--match", "comment", "--comment", self._comment(address)]
        return [*match, *comment, "--jump", "ACCEPT"]

    def _chains(self) -> list[_Chain]:
        """The chains that something is refused in, or may be."""
        chains = [
            self._iptables(tool)
            for tool in ("iptables", "ip6tables")
            if shutil.which(tool, path=PATH)
        ]
        if shutil.which("nft", path=PATH):
            chains += self._nft(json.loads(run("nft", "--json", "list", "ruleset"))["nftables"])
        return [chain for chain in chains if chain is not None]

    def _iptables(self, tool: str) -> _Chain | None:
        policy, *rules = run(tool, "--list-rules", "INPUT").splitlines()
        begin = f'"{self._comment("")}'
        ours = [r.split(begin)[1].split('"')[0] for r in rules if begin in r]
        if policy.endswith(" ACCEPT") and len(rules) == len(ours):
            return None
        delete = {a: ["--delete", "INPUT", *self._iptables_rule(a)] for a in ours}
        return _Chain(tool, (tool, "INPUT"), delete)

    def _nft(self, ruleset: list[dict[str, Any]]) -> list[_Chain]:
        found = []
        for chain in (entry["chain"] for entry in ruleset if "chain" in entry):
            name = (chain["family"], chain["table"], chain["name"])
            if chain.get("hook") != "input" or name[1:] == ("filter", "INPUT"):
                continue  # the latter is iptables'
            rules = [
                rule
                for rule in (entry["rule"] for entry in ruleset if "rule" in entry)
                if (rule["family"], rule["table"], rule["chain"]) == name
            ]
            begin = self._comment("")
            ours = {
                rule["comment"][len(begin) :]: [
                    "delete",
                    "rule",
                    *name,
                    "handle",
                    str(rule["handle"]),
                ]
                for rule in rules
                if rule.get("comment", "").startswith(begin)
            }
            if chain.get("policy") == "drop" or len(rules) > len(ours):
                found.append(_Chain("nft", name, ours))
        return found


def _fits(chain: str, address: str) -> bool:
    """Whether packets from the address pass that chain: `inet` sees both families."""
    family = chain.split(maxsplit=1)[0]
    return family == "inet" or (family in {"ip6", "ip6tables"}) == (":" in address)
