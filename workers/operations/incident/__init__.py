"""Incidents: somebody is called, and what is done from then on is kept together until it is over."""
