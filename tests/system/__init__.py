"""Tests on the real thing: QEMU, network namespaces, playbooks."""
