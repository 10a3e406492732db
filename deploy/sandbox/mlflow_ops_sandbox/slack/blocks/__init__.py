"""What messages and modals are made of, checked as Slack checks it, and what people fill in."""
