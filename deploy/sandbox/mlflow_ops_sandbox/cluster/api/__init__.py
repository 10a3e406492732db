"""What everything in the cluster speaks of: objects and their kinds, times, requests and answers, the store."""
