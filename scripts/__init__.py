"""Programs that write what the repository keeps and no hand writes."""
