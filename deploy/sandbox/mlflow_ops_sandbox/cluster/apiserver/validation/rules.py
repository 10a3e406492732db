"""Which rules hold for which kind. A kind that is not named here only has its metadata checked."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import invalid
from mlflow_ops_sandbox.cluster.apiserver.validation import configuration, pods, workloads
from mlflow_ops_sandbox.cluster.apiserver.validation.names import check_metadata
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems

_Check = Callable[[Object, Problems], None]
_CheckUpdate = Callable[[Object, Object, Problems], None]

_CHECKS: dict[Resource, _Check] = {
    kinds.PODS: pods.check_pod,
    kinds.DEPLOYMENTS: workloads.check_deployment,
    kinds.REPLICA_SETS: workloads.check_owner,
    kinds.STATEFUL_SETS: workloads.check_owner,
    kinds.DAEMON_SETS: workloads.check_owner,
    kinds.JOBS: workloads.check_job,
    kinds.CRON_JOBS: workloads.check_cron_job,
    kinds.CONFIG_MAPS: configuration.check_data,
    kinds.SECRETS: configuration.check_data,
    kinds.SERVICES: configuration.check_service,
    kinds.INGRESSES: configuration.check_ingress,
    kinds.POD_DISRUPTION_BUDGETS: configuration.check_disruption_budget,
    kinds.HORIZONTAL_POD_AUTOSCALERS: configuration.check_autoscaler,
    kinds.PERSISTENT_VOLUME_CLAIMS: configuration.check_claim,
    kinds.ROLES: configuration.check_role,
    kinds.CLUSTER_ROLES: configuration.check_role,
    kinds.ROLE_BINDINGS: configuration.check_role_binding,
    kinds.CLUSTER_ROLE_BINDINGS: configuration.check_role_binding,
    kinds.LIMIT_RANGES: configuration.check_limits,
    kinds.RESOURCE_QUOTAS: configuration.check_quota,
}
_UPDATE_CHECKS: dict[Resource, _CheckUpdate] = {
    kinds.PODS: pods.check_pod_update,
    kinds.DEPLOYMENTS: workloads.check_owner_update,
    kinds.REPLICA_SETS: workloads.check_owner_update,
    kinds.STATEFUL_SETS: workloads.check_stateful_set_update,
    kinds.JOBS: workloads.check_job_update,
    kinds.CONFIG_MAPS: configuration.check_data_update,
    kinds.SECRETS: configuration.check_data_update,
    kinds.SERVICES: configuration.check_service_update,
    kinds.PERSISTENT_VOLUME_CLAIMS: configuration.check_claim_update,
    kinds.ROLE_BINDINGS: configuration.check_role_binding_update,
    kinds.CLUSTER_ROLE_BINDINGS: configuration.check_role_binding_update,
}


def validate(resource: Resource, after: Object, before: Object | None = None) -> None:
    """Check a new object, or what an object has become. Raises ApiError 422 with everything that is wrong."""
    problems = Problems()
    check_metadata(after, resource, problems)
    check = _CHECKS.get(resource)
    if check is not None:
        check(after, problems)
    check_update = _UPDATE_CHECKS.get(resource)
    if before is not None and check_update is not None:
        check_update(before, after, problems)
    if problems.causes:
        raise invalid(resource.group, resource.kind, name_of(after), problems.causes)
