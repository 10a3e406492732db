"""The pods' logs: kept before the cluster forgets them."""
