"""What labs over SSH measure, on one pair of real hosts."""
