"""Git hosts: a repository's files, and pull requests for it, by the API of GitHub or GitLab."""
