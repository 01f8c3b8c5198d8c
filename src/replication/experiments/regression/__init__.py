"""The regression: its published figure, figures, tables and numbers."""
