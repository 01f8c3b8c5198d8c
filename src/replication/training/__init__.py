"""Training runs and the files that they write."""
