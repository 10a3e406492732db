"""The modals, one a module: what each shows, and what was filled in."""
