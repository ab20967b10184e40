"""`galaxy simulate`: devices that anyone has."""
