"""The way in: Slack's events and the command line."""
