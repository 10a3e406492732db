"""The page for people: its files, its addresses, and everything that somebody can do in it."""
