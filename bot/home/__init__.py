"""The App Home: its events, what it shows, and how it is kept fresh."""
