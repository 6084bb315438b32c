"""Things of a host that are set, each with what it was before remembered. `record.py` tells how; the others are the kinds."""
