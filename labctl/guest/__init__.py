"""The built-in guest: a freestanding program that is part of the instrument. See README.md."""
