"""A Git host on this machine: a repository, its pull requests by GitHub's API, a page for them, and a reconciler."""
