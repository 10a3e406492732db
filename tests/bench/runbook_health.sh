#!/bin/bash
# The runbook's own morning check, as it stands there; $MLFLOW_OPS_KUBECTL is the kubectl to use.
kubectl() { "$MLFLOW_OPS_KUBECTL" "$@"; }
echo "=== MLFlow Health Check ==="
date
echo -e "\n1. Pod Status"
kubectl get pods -n data-platform -l app=mlflow
echo -e "\n2. Service Status"
kubectl get svc -n data-platform | grep mlflow
echo -e "\n3. Ingress Status"
kubectl get ingress -n data-platform mlflow-ingress
echo -e "\n4. Resource Usage"
kubectl top pods -n data-platform -l app=mlflow
echo -e "\n5. PostgreSQL Status"
kubectl get pods -n data-platform -l app=postgres | head -1
echo -e "\n6. MinIO Status"
kubectl get pods -n data-platform -l app=minio | head -1
echo -e "\n7. Recent Errors"
kubectl logs -n data-platform -l app=mlflow --tail=20 | grep -i error || echo "No errors found"
echo -e "\n=== Health Check Complete ==="
