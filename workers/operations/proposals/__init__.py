"""Changes that are proposed in Git: opened, followed, and watched once the cluster has them."""
