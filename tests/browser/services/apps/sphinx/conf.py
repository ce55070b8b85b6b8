"""Of Sphinx."""

project = "Bakery"
