"""Where results come from: the sources behind a result, and the stamp written beside it."""
