"""The report: a run as one HTML file that opens offline, and as a table and a plot in a terminal."""
