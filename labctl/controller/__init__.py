"""The controller: runs a plan over the pairs of a lab, and tells observers what happens."""

from labctl.controller.run import Controller
from labctl.controller.summary import Summary

__all__ = ["Controller", "Summary"]
