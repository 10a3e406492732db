"""Changes of the running Deployment: each plans from what is there, changes one thing, and watches it to the end."""
