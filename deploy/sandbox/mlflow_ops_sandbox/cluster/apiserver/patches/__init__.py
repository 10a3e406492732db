"""The ways to change an object without sending all of it: JSON patch, merge patch, strategic merge, apply."""
