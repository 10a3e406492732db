"""Backup sets: made, listed, verified and pruned."""
