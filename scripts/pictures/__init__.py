"""The pictures of the docs' monitoring page, made of a real run: `python -m scripts.pictures`, as root, in some five minutes.

Dashboards are drawn by a few lines of our own, panel by panel, from what a real Prometheus answers to their queries: a Grafana is
not needed, and these are not its pictures.
"""
