"""The claims that are checked, and their verdicts."""
