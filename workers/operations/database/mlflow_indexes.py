# ruff: noqa: E501 - one index to a line, as PostgreSQL prints them
"""The indexes of MLflow's own schema, besides those that enforce a constraint, by the revision that brings each.

MLflow makes them in its migrations, so one is missing only where somebody dropped it, a migration was interrupted, or a
restore left it out. The trap: one that only a later revision has must not be made now, because the migration that brings
it would find it there and stop (DuplicateTable). The list was read from databases that MLflow's migrations had made, one
revision after the other, up to MLflow 3.18.0; of a revision that is not among REVISIONS nothing is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

if TYPE_CHECKING:
    from collections.abc import Collection

_IN_ORDER: Final = """
451aebb31d03 90e64c465722 181f10493468 df50e92ffc5e 7ac759974ad8 89d4b8295536 2b4d017a5e9b cfd24bdc0731 0a8213491aaa
728d730b5ebd 27a6a02d2cf1 84291f40a231 a8c4a736bde6 39d1c3be5f05 c48cb773bb87 bd07f7e963c5 0c779009ac13 cc1f77228345
97727af70f4d 3500859a5d39 7f2a7d5fae7d 2d6e25af4d3e acf3f17fdcc7 867495a8f9d4 5b0e9adcef9c 4465047574b1 f5a4f2784254
0584bdc529eb 400f98739977 6953534de441 bda7b8c39065 cbc13b556ace 770bee3ae1dd a1b2c3d4e5f6 de4033877273 1a0cddfcaa16
534353b11cbc 71994744cf8e 3da73c924c2f bf29a5ff90ea 1bd49d398cd23 b7c8d9e0f1a2 5d2d30f0abce c9d4e5f6a7b8 2c33131f4dae
d3e4f5a6b7c8 d0e1f2a3b4c5 c8d9e0f1a2b3 1b5f0d9ad7c1 e1f2a3b4c5d6 76601a5f987d c3d6457b6d8a a5b4c3d2e1f0 ae8bbe7743c9
7d34483879f0 da6fb0208061 89d3d66ed43f b7e4c1a90f23 a8b9c0d1e2f3 c1d2e3f4a5b6 c3d9e7f1a2b4 6f8d9c3b2a1e 1971f2d9a75b
17e22815139b b7e2c1a4d9f3 75868b020152 dc11669786a5 e7d1f4b2a9c6 8b6ad64cb8f5 f4a9b2c7d1e6
"""
REVISIONS: Final = tuple(_IN_ORDER.split())
"""MLflow's revisions in their order, which is a line."""

_LISTED: Final = """
bd07f7e963c5 index_latest_metrics_run_uuid on latest_metrics (run_uuid)
bd07f7e963c5 index_metrics_run_uuid on metrics (run_uuid)
bd07f7e963c5 index_params_run_uuid on params (run_uuid)
bd07f7e963c5 index_tags_run_uuid on tags (run_uuid)
7f2a7d5fae7d index_datasets_dataset_uuid on datasets (dataset_uuid)
7f2a7d5fae7d index_datasets_experiment_id_dataset_source_type on datasets (experiment_id, dataset_source_type)
7f2a7d5fae7d index_inputs_destination_type_destination_id_source_type on inputs (destination_type, destination_id, source_type)
7f2a7d5fae7d index_inputs_input_uuid on inputs (input_uuid)
867495a8f9d4 index_trace_info_experiment_id_timestamp_ms on trace_info (experiment_id, timestamp_ms)
867495a8f9d4 index_trace_request_metadata_request_id on trace_request_metadata (request_id)
867495a8f9d4 index_trace_tags_request_id on trace_tags (request_id)
400f98739977 index_logged_model_metrics_model_id on logged_model_metrics (model_id)
770bee3ae1dd index_assessments_assessment_type on assessments (assessment_type)
770bee3ae1dd index_assessments_last_updated_timestamp on assessments (last_updated_timestamp)
770bee3ae1dd index_assessments_run_id_created_timestamp on assessments (run_id, created_timestamp)
770bee3ae1dd index_assessments_trace_id_created_timestamp on assessments (trace_id, created_timestamp)
a1b2c3d4e5f6..c1d2e3f4a5b6 index_spans_experiment_id on spans (experiment_id)
a1b2c3d4e5f6 index_spans_experiment_id_duration on spans (experiment_id, duration_ns)
a1b2c3d4e5f6 index_spans_experiment_id_status_type on spans (experiment_id, status, type)
a1b2c3d4e5f6 index_spans_experiment_id_type_status on spans (experiment_id, type, status)
de4033877273 index_entity_associations_association_id on entity_associations (association_id)
de4033877273 index_entity_associations_reverse_lookup on entity_associations (destination_type, destination_id, source_type, source_id)
1a0cddfcaa16 idx_webhook_events_action on webhook_events (action)
1a0cddfcaa16 idx_webhook_events_entity on webhook_events (entity)
1a0cddfcaa16 idx_webhook_events_entity_action on webhook_events (entity, action)
1a0cddfcaa16 idx_webhooks_name on webhooks (name)
1a0cddfcaa16 idx_webhooks_status on webhooks (status)
534353b11cbc index_scorer_versions_scorer_id on scorer_versions (scorer_id)
534353b11cbc unique index_scorers_experiment_id_scorer_name on scorers (experiment_id, scorer_name)
71994744cf8e index_evaluation_dataset_records_dataset_id on evaluation_dataset_records (dataset_id)
71994744cf8e index_evaluation_dataset_tags_dataset_id on evaluation_dataset_tags (dataset_id)
71994744cf8e index_evaluation_datasets_created_time on evaluation_datasets (created_time)
71994744cf8e index_evaluation_datasets_name on evaluation_datasets (name)
bf29a5ff90ea..5d2d30f0abce index_jobs_function_status_creation_time on jobs (function_fullname, status, creation_time)
1bd49d398cd23 index_endpoint_model_mappings_endpoint_id on endpoint_model_mappings (endpoint_id)
1bd49d398cd23 index_endpoint_model_mappings_model_definition_id on endpoint_model_mappings (model_definition_id)
1bd49d398cd23..c9d4e5f6a7b8 unique unique_endpoint_model_mapping on endpoint_model_mappings (endpoint_id, model_definition_id)
1bd49d398cd23 index_endpoint_tags_endpoint_id on endpoint_tags (endpoint_id)
1bd49d398cd23..1b5f0d9ad7c1 unique unique_endpoint_name on endpoints (name)
1bd49d398cd23 index_model_definitions_provider on model_definitions (provider)
1bd49d398cd23 index_model_definitions_secret_id on model_definitions (secret_id)
1bd49d398cd23..1b5f0d9ad7c1 unique unique_model_definition_name on model_definitions (name)
1bd49d398cd23..1b5f0d9ad7c1 unique unique_secret_name on secrets (secret_name)
b7c8d9e0f1a2 index_trace_metrics_request_id on trace_metrics (request_id)
5d2d30f0abce..1b5f0d9ad7c1 index_jobs_name_status_creation_time on jobs (job_name, status, creation_time)
c9d4e5f6a7b8 unique unique_endpoint_model_linkage_mapping on endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type)
c8d9e0f1a2b3 index_span_metrics_trace_id_span_id on span_metrics (trace_id, span_id)
1b5f0d9ad7c1 idx_endpoints_workspace on endpoints (workspace)
1b5f0d9ad7c1 idx_evaluation_datasets_workspace on evaluation_datasets (workspace)
1b5f0d9ad7c1 idx_experiments_workspace on experiments (workspace)
1b5f0d9ad7c1 idx_experiments_workspace_creation_time on experiments (workspace, creation_time)
1b5f0d9ad7c1 index_jobs_name_status_creation_time on jobs (job_name, workspace, status, creation_time)
1b5f0d9ad7c1 idx_model_definitions_workspace on model_definitions (workspace)
1b5f0d9ad7c1 idx_registered_models_workspace on registered_models (workspace)
1b5f0d9ad7c1 idx_secrets_workspace on secrets (workspace)
1b5f0d9ad7c1 idx_webhooks_workspace on webhooks (workspace)
e1f2a3b4c5d6 idx_budget_policies_workspace on budget_policies (workspace)
76601a5f987d index_issues_experiment_id on issues (experiment_id)
76601a5f987d index_issues_source_run_id on issues (source_run_id)
76601a5f987d index_issues_status on issues (status)
a5b4c3d2e1f0 index_metrics_run_uuid_key_step on metrics (run_uuid, key, step)
ae8bbe7743c9 idx_guardrail_configs_endpoint_id on guardrail_configs (endpoint_id)
ae8bbe7743c9 idx_guardrail_configs_guardrail_id on guardrail_configs (guardrail_id)
ae8bbe7743c9 idx_guardrails_scorer on guardrails (scorer_id, scorer_version)
ae8bbe7743c9 idx_guardrails_workspace on guardrails (workspace)
7d34483879f0 idx_model_version_tags_workspace_name_version on model_version_tags (workspace, name, version)
7d34483879f0 idx_registered_model_tags_workspace_name on registered_model_tags (workspace, name)
89d3d66ed43f index_label_schemas_experiment_id on label_schemas (experiment_id)
b7e4c1a90f23 index_review_queue_items_item_id on review_queue_items (item_id)
b7e4c1a90f23 index_review_queue_items_queue_id_status on review_queue_items (queue_id, status)
b7e4c1a90f23 index_review_queue_label_schemas_schema_id on review_queue_label_schemas (schema_id)
b7e4c1a90f23 index_review_queue_users_user_id on review_queue_users (user_id)
b7e4c1a90f23 index_review_queues_experiment_id on review_queues (experiment_id)
a8b9c0d1e2f3 ix_mcp_access_endpoints_alias on mcp_access_endpoints (workspace, server_name, server_alias)
a8b9c0d1e2f3 ix_mcp_access_endpoints_server_name on mcp_access_endpoints (workspace, server_name)
a8b9c0d1e2f3 ix_mcp_access_endpoints_version on mcp_access_endpoints (workspace, server_name, server_version)
a8b9c0d1e2f3 idx_mcp_server_versions_latest on mcp_server_versions (workspace, name, status, version_major DESC, version_minor DESC, version_patch DESC)
c1d2e3f4a5b6 index_spans_experiment_id_start_time on spans (experiment_id, start_time_unix_nano)
c3d9e7f1a2b4 idx_budget_policies_target_value on budget_policies (target_value)
1971f2d9a75b index_trace_info_timestamp_ms_request_id on trace_info (timestamp_ms, request_id)
75868b020152 idx_assessments_exp_name_valid on assessments (experiment_id, name, valid)
75868b020152 idx_assessments_exp_trace_ts on assessments (experiment_id, trace_timestamp_ms)
75868b020152 idx_assessments_exp_trace_ts_name on assessments (experiment_id, trace_timestamp_ms, name)
75868b020152 idx_spans_cost_exp_time_cover on spans (experiment_id, start_time_unix_nano) INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider) WHERE ((input_cost IS NOT NULL) OR (output_cost IS NOT NULL) OR (total_cost IS NOT NULL))
75868b020152 idx_spans_cost_trace_time_cover on spans (trace_id, start_time_unix_nano) INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider) WHERE ((input_cost IS NOT NULL) OR (output_cost IS NOT NULL) OR (total_cost IS NOT NULL))
75868b020152 idx_assessment_rollups_lookup on sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set)
75868b020152 idx_span_cost_rollups_lookup on sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, model_name, model_provider)
75868b020152 idx_trace_rollups_lookup on sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, trace_status)
75868b020152 index_trace_info_experiment_id_session_id on trace_info (experiment_id, session_id)
dc11669786a5 index_job_locks_job_id on job_locks (job_id)
dc11669786a5 index_jobs_status_lease_expires_at on jobs (status, lease_expires_at)
e7d1f4b2a9c6 ix_skill_versions_digest on skill_versions (workspace, organization, name, digest)
e7d1f4b2a9c6 ix_skill_versions_latest_lookup on skill_versions (workspace, organization, name, status, version)
8b6ad64cb8f5 index_issue_categories_hash on issue_categories (category_hash)
8b6ad64cb8f5 index_issues_experiment_last_seen on issues (experiment_id, last_seen_timestamp)
8b6ad64cb8f5 index_issues_experiment_updated on issues (experiment_id, last_updated_timestamp)
"""
"""The revision that makes it, behind two dots the one that drops it; then as PostgreSQL prints it."""


@dataclass(frozen=True)
class IndexWanted:
    """One index of MLflow's. over: what PostgreSQL prints behind the method.

    since, until: the places among REVISIONS of those that make it and drop it.
    """

    name: str
    table: str
    over: LiteralString
    unique: bool
    since: int
    until: int

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.name} on {self.table} {self.over}"


_LINE: Final = re.compile(r"(\w+)(?:\.\.(\w+))? (unique )?(\w+) on (\w+) (.+)")


def _read(line: LiteralString) -> IndexWanted:
    found = _LINE.fullmatch(line)
    assert found is not None
    since, until, unique, name, table, over = found.groups()
    last = REVISIONS.index(until) if until else len(REVISIONS)
    return IndexWanted(name, table, over, bool(unique), REVISIONS.index(since), last)


INDEXES: Final = tuple(map(_read, _LISTED.strip().splitlines()))


def known(revision: str) -> bool:
    """Whether it is told here what that revision has."""
    return revision in REVISIONS


def of(revision: str) -> tuple[IndexWanted, ...]:
    """The indexes that a database of that revision has; none where it is not known."""
    if not known(revision):
        return ()
    at = REVISIONS.index(revision)
    return tuple(each for each in INDEXES if each.since <= at < each.until)


def too_early(revision: str, there: Collection[str], *, up_to: str = "") -> tuple[str, ...]:
    """Of those that are there, by their names, the ones that only a migration after that revision makes.

    up_to: the last revision that counts; any where it is empty, or not known.
    """
    if not known(revision):
        return ()
    at = REVISIONS.index(revision)
    last = REVISIONS.index(up_to) if known(up_to) else len(REVISIONS)
    strange = set(there) - {each.name for each in of(revision)}
    found = (each.name for each in INDEXES if at < each.since <= last and each.name in strange)
    return tuple(dict.fromkeys(found))
