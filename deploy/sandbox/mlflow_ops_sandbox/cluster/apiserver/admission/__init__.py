"""What has a say in a write once it is allowed: namespaces, service accounts, limit ranges, webhooks, quotas."""
