"""The toy task: follow a line that leaves the safe band."""
