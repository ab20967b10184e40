"""The contract kit: what proves a plugin right. Subclass a contract, supply a fixture, run pytest."""
