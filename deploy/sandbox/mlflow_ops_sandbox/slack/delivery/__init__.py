"""How the app hears what people do, in Socket Mode or over HTTP, and how it answers without a token."""
