"""Charts as PNG, for Slack: anybody's figures, drawn the same way."""
