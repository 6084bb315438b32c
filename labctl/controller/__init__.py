"""The controller: runs a plan over the pairs of a lab, and tells observers what happens."""

from labctl.controller.run import Controller, Summary

__all__ = ["Controller", "Summary"]
