"""Tests without root and without QEMU: the quick loop."""
