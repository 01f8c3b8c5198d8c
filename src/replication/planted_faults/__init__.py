"""Faults that are planted on purpose, to see that the checks of this project notice them."""
