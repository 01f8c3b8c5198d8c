"""Stamps, which say what made a file and whether it has changed since; and the sources that a result depends on."""
