"""labctl: a laboratory for live VM migration."""

__version__ = "0.1.0"
