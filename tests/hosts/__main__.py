"""`python -m tests.hosts N`: N hosts (h1, h2, ...), until Ctrl-C. Root.

Prints the path of their inventory, and how to log in. `--user lab` for an inventory of a user who may sudo, `--migration-addresses`
for hosts that configure their second interface themselves, `--kernel` for hosts that may write this machine's kernel settings.
"""

import argparse
import shlex
import signal
import sys

from tests.hosts import HostsError, debian_hosts, missing_hosts


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=2, metavar="N")
    parser.add_argument("--user", default="root", choices=["root", "lab"])
    parser.add_argument("--migration-addresses", action="store_true")
    parser.add_argument("--kernel", action="store_true")
    args = parser.parse_args()
    if missing := missing_hosts():
        sys.exit(missing)
    # Also where a script started this in its background, with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = [f"h{index}" for index in range(1, args.number + 1)]
    try:
        with debian_hosts(
            names,
            user=args.user,
            migration_addresses=args.migration_addresses,
            kernel=args.kernel,
        ) as hosts:
            print(hosts.inventory)
            for host in hosts:
                print(f"# {host.name}: {shlex.join(host.ssh_command(args.user))}")
            print("# until Ctrl-C", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except (HostsError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
