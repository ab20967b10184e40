"""What a plugin author reads: the hook specs, the Protocols behind them, and the registry that loads plugins."""
