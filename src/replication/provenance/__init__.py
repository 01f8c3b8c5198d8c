"""Stamps: what made a file, and whether it is still that file; and the source files that a result depends on."""
