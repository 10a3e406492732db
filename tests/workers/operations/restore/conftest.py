"""A restore has what a backup has."""
