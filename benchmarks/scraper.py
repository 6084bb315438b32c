"""What Prometheus does to a page with metrics: reads it every second, until stdin ends. Prints how long each reading took, in ms."""

import json
import select
import sys
import time
import urllib.request

PERIOD_S = 1.0
ANSWER_S = 10.0


def main(url: str) -> None:
    """Read, and tell."""
    took_ms: list[float] = []
    next_s = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, next_s - time.monotonic()))[0]:
        begun_s = time.monotonic()
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - a page of labctl's
            answer.read()
        took_ms.append((time.monotonic() - begun_s) * 1e3)
        next_s += PERIOD_S
    print(json.dumps(took_ms))


if __name__ == "__main__":
    main(sys.argv[1])
