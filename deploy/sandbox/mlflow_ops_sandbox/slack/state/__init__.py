"""What there is in the workspace, and everything of the app that is alive in this process."""
