"""How figures look and how numbers and tables are typeset."""
