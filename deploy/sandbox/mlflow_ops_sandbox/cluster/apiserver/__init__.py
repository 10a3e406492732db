"""The API server: who asks, whether it is allowed, what is read, written and watched."""
