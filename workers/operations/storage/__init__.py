"""What the artifacts take: by experiment or prefix, since when, and what nobody needs any more."""
