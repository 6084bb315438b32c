"""`make acceptance`: virtual labs from nothing, campaigns/transports.yaml in each, and docs/transports.md of what came of it.

python -m scripts.acceptance [SUITE]...    root, or a user who may sudo; half an hour a suite on two cores without KVM

An image that was made before is not used. It ends with a failure when a trial that ran has not completed with the machine's memory
whole, when a cell is unsupported for no reason that is known here, when a `kill -9` leaves what `lab clean` and `lab down` do not
find, or when something is left of a lab that was taken down.
"""
