"""Restores: what replaces something stands beside it, checked, before anything is touched."""
