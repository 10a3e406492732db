"""The certificate that MLflow's Ingress shows: read as a whole, and renewed through cert-manager."""
