"""Faults planted on purpose, and what becomes of them: refused, caught, or seen to break the guarantee."""
