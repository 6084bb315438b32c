"""The built-in guest as an instrument: each claim about it, tried in a real QEMU (TCG)."""
