"""How true labctl's figures are: each claim measured against something that is not labctl.

`make bench` measures all of them and writes docs/benchmarks.md and docs/benchmarks.json; `python -m benchmarks NAME...` measures
some anew and leaves the other rows as they are. One module a claim; `benchmarks.claims` lists them.
"""
