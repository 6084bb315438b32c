"""Monitoring: a run as Prometheus sees it, live and afterwards.

A run's events (live, or replayed from its directory) are taken into a `Standing`; `families` puts that into metrics. Whatever serves,
writes or shows a run's state reads it from there.
"""
