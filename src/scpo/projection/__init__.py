"""The local safe region and the projection onto it."""
