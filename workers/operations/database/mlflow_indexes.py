# ruff: noqa: E501 - one index to a line, as PostgreSQL prints them
"""The indexes that MLflow's own schema has, besides those that enforce a constraint.

MLflow makes them in its migrations, so they are missing only where somebody dropped one, a migration was interrupted,
or a restore left one out. The list was read from a database that MLflow 3.17.2 had made (revision REVISION); of another
version's schema, what names tables or columns that it does not have is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, LiteralString

REVISION: Final = "dc11669786a5"

_LISTED: Final = """
idx_assessments_exp_name_valid on assessments (experiment_id, name, valid)
idx_assessments_exp_trace_ts on assessments (experiment_id, trace_timestamp_ms)
idx_assessments_exp_trace_ts_name on assessments (experiment_id, trace_timestamp_ms, name)
index_assessments_assessment_type on assessments (assessment_type)
index_assessments_last_updated_timestamp on assessments (last_updated_timestamp)
index_assessments_run_id_created_timestamp on assessments (run_id, created_timestamp)
index_assessments_trace_id_created_timestamp on assessments (trace_id, created_timestamp)
idx_budget_policies_target_value on budget_policies (target_value)
idx_budget_policies_workspace on budget_policies (workspace)
index_datasets_dataset_uuid on datasets (dataset_uuid)
index_datasets_experiment_id_dataset_source_type on datasets (experiment_id, dataset_source_type)
index_endpoint_model_mappings_endpoint_id on endpoint_model_mappings (endpoint_id)
index_endpoint_model_mappings_model_definition_id on endpoint_model_mappings (model_definition_id)
unique unique_endpoint_model_linkage_mapping on endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type)
index_endpoint_tags_endpoint_id on endpoint_tags (endpoint_id)
idx_endpoints_workspace on endpoints (workspace)
index_entity_associations_association_id on entity_associations (association_id)
index_entity_associations_reverse_lookup on entity_associations (destination_type, destination_id, source_type, source_id)
index_evaluation_dataset_records_dataset_id on evaluation_dataset_records (dataset_id)
index_evaluation_dataset_tags_dataset_id on evaluation_dataset_tags (dataset_id)
idx_evaluation_datasets_workspace on evaluation_datasets (workspace)
index_evaluation_datasets_created_time on evaluation_datasets (created_time)
index_evaluation_datasets_name on evaluation_datasets (name)
idx_experiments_workspace on experiments (workspace)
idx_experiments_workspace_creation_time on experiments (workspace, creation_time)
idx_guardrail_configs_endpoint_id on guardrail_configs (endpoint_id)
idx_guardrail_configs_guardrail_id on guardrail_configs (guardrail_id)
idx_guardrails_scorer on guardrails (scorer_id, scorer_version)
idx_guardrails_workspace on guardrails (workspace)
index_inputs_destination_type_destination_id_source_type on inputs (destination_type, destination_id, source_type)
index_inputs_input_uuid on inputs (input_uuid)
index_issues_experiment_id on issues (experiment_id)
index_issues_source_run_id on issues (source_run_id)
index_issues_status on issues (status)
index_job_locks_job_id on job_locks (job_id)
index_jobs_name_status_creation_time on jobs (job_name, workspace, status, creation_time)
index_jobs_status_lease_expires_at on jobs (status, lease_expires_at)
index_label_schemas_experiment_id on label_schemas (experiment_id)
index_latest_metrics_run_uuid on latest_metrics (run_uuid)
index_logged_model_metrics_model_id on logged_model_metrics (model_id)
ix_mcp_access_endpoints_alias on mcp_access_endpoints (workspace, server_name, server_alias)
ix_mcp_access_endpoints_server_name on mcp_access_endpoints (workspace, server_name)
ix_mcp_access_endpoints_version on mcp_access_endpoints (workspace, server_name, server_version)
idx_mcp_server_versions_latest on mcp_server_versions (workspace, name, status, version_major DESC, version_minor DESC, version_patch DESC)
index_metrics_run_uuid on metrics (run_uuid)
index_metrics_run_uuid_key_step on metrics (run_uuid, key, step)
idx_model_definitions_workspace on model_definitions (workspace)
index_model_definitions_provider on model_definitions (provider)
index_model_definitions_secret_id on model_definitions (secret_id)
idx_model_version_tags_workspace_name_version on model_version_tags (workspace, name, version)
index_params_run_uuid on params (run_uuid)
idx_registered_model_tags_workspace_name on registered_model_tags (workspace, name)
idx_registered_models_workspace on registered_models (workspace)
index_review_queue_items_item_id on review_queue_items (item_id)
index_review_queue_items_queue_id_status on review_queue_items (queue_id, status)
index_review_queue_label_schemas_schema_id on review_queue_label_schemas (schema_id)
index_review_queue_users_user_id on review_queue_users (user_id)
index_review_queues_experiment_id on review_queues (experiment_id)
index_scorer_versions_scorer_id on scorer_versions (scorer_id)
unique index_scorers_experiment_id_scorer_name on scorers (experiment_id, scorer_name)
idx_secrets_workspace on secrets (workspace)
index_span_metrics_trace_id_span_id on span_metrics (trace_id, span_id)
idx_spans_cost_exp_time_cover on spans (experiment_id, start_time_unix_nano) INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider) WHERE ((input_cost IS NOT NULL) OR (output_cost IS NOT NULL) OR (total_cost IS NOT NULL))
idx_spans_cost_trace_time_cover on spans (trace_id, start_time_unix_nano) INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider) WHERE ((input_cost IS NOT NULL) OR (output_cost IS NOT NULL) OR (total_cost IS NOT NULL))
index_spans_experiment_id_duration on spans (experiment_id, duration_ns)
index_spans_experiment_id_start_time on spans (experiment_id, start_time_unix_nano)
index_spans_experiment_id_status_type on spans (experiment_id, status, type)
index_spans_experiment_id_type_status on spans (experiment_id, type, status)
idx_assessment_rollups_lookup on sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set)
idx_span_cost_rollups_lookup on sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, model_name, model_provider)
idx_trace_rollups_lookup on sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, trace_status)
index_tags_run_uuid on tags (run_uuid)
index_trace_info_experiment_id_session_id on trace_info (experiment_id, session_id)
index_trace_info_experiment_id_timestamp_ms on trace_info (experiment_id, timestamp_ms)
index_trace_info_timestamp_ms_request_id on trace_info (timestamp_ms, request_id)
index_trace_metrics_request_id on trace_metrics (request_id)
index_trace_request_metadata_request_id on trace_request_metadata (request_id)
index_trace_tags_request_id on trace_tags (request_id)
idx_webhook_events_action on webhook_events (action)
idx_webhook_events_entity on webhook_events (entity)
idx_webhook_events_entity_action on webhook_events (entity, action)
idx_webhooks_name on webhooks (name)
idx_webhooks_status on webhooks (status)
idx_webhooks_workspace on webhooks (workspace)
"""


@dataclass(frozen=True)
class IndexWanted:
    """An index as MLflow makes it. over: what PostgreSQL prints behind the method. columns: all that it names."""

    name: str
    table: str
    over: LiteralString
    columns: frozenset[str]
    unique: bool = False

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.name} on {self.table} {self.over}"


_LINE: Final = re.compile(r"(unique )?(\w+) on (\w+) (.+)")
_WORDS: Final = frozenset({"DESC", "INCLUDE", "WHERE", "IS", "NOT", "NULL", "OR"})


def _read(line: LiteralString) -> IndexWanted:
    found = _LINE.fullmatch(line)
    assert found is not None
    unique, name, table, over = found.groups()
    columns = frozenset(re.findall(r"\w+", over)) - _WORDS
    return IndexWanted(name, table, over, columns, unique=bool(unique))


INDEXES: Final = tuple(map(_read, _LISTED.strip().splitlines()))
