"""What Alertmanager reports: one message a group, told in Slack and silenced from there."""
