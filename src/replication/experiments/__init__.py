"""What is computed and shown of each experiment, one folder for each."""
