"""The built-in multi-centre benchmark: synthetic chest phantoms with reports."""
