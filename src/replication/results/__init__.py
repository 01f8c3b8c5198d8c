"""Where results come from: the sources behind a result, and the sidecar written beside it."""
