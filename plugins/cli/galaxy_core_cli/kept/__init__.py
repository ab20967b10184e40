"""Runs that a journal keeps: found, shown, exported, removed, resolved and gone on with."""
