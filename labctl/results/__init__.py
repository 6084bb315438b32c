"""The results directory: its versioned schema, written whole or not at all, and read back years later."""
