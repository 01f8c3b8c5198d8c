"""Stamps: what made a file, and whether it is still that."""
