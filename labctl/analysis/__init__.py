"""Analysis of stored results, with no lab: frames and their summaries."""
