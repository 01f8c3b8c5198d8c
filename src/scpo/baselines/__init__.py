"""Methods: each takes one update from the gradients that ``backward`` left, and says what happened."""
