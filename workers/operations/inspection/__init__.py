"""Looking at what is in the cluster, and saying how to look at it by hand."""
