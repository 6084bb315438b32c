"""`python -m tests.golden`: write the schedules of all cases, on purpose."""

from tests.golden.compiled import cases, write

for path in cases():
    print(f"{'changed' if write(path) else 'as it was'}: {path.name}")
