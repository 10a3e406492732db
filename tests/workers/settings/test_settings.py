"""A wrong setting is one sentence: the key, what is wrong, what would be right."""

import pytest

from workers import settings


def load(tmp_path, text, **environ):
    path = tmp_path / "ops.yaml"
    path.write_text(text, encoding="utf-8")
    return settings.load({"MLFLOW_OPS_CONFIG": str(path), **environ})


def test_nothing_set_gives_the_runbooks_names():
    ops = settings.load({}).ops
    assert ops.kubernetes.namespace == "data-platform"
    assert ops.kubernetes.deployment == "mlflow"
    assert ops.storage.artifacts_bucket == "mlflow-artifacts"
    assert ops.health.thresholds.backup_age_fail_seconds == 3600


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load(tmp_path, "# nothing yet\n").ops == settings.Ops()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("roles: {operator: {user: [U0OLA]}}", ["roles.operator.user is not a setting", "did you mean users?"]),
        ("colour: red", ["colour is not a setting", "known here: channels"]),
        ("channels: [general]", ["channels.0 is wrong (it is 'general')", "a channel's id, such as C012AB3CD"]),
        ("time_zone: Europe/Berlim", ["time_zone is wrong", "did you mean Europe/Berlin?"]),
        ("health: {deadline_seconds: 0}", ["health.deadline_seconds is wrong (it is 0)", "greater than 0"]),
        ("health: {thresholds: {errors_warn: 9, errors_fail: 3}}", ["errors_warn (9) must not be above errors_fail"]),
        ("roles: {admin: {users: ['*']}}", ["allowed for viewer only, not for admin"]),
        ("storage: {artifacts_bucket: My_Bucket}", ["storage.artifacts_bucket is wrong", "My_Bucket"]),
        ("roles: {operater: {users: [U0OLA]}}", ["roles.operater is not a setting", "did you mean operator?"]),
        (
            "roles: {operator: {users: ['@ola']}}",
            ["roles.operator.users.0 is wrong", "a person's id, such as U012AB3CD"],
        ),
        ("roles: {operator: {groups: [ops]}}", ["roles.operator.groups.0 is wrong", "a user group's id"]),
        ("approvals: {restart: {aprovers: 2}}", ["approvals.restart.aprovers is not a setting", "mean approvers?"]),
        ("approvals: {restart: {role: aprover}}", ["approvals.restart.role is wrong", "did you mean approver"]),
        ("schedule: {night: {cron: '0 2 * * *', comand: backup}}", ["schedule.night.comand", "did you mean command?"]),
        ("maintenance: {windows: [{cron: '0 2 * * 6', minuts: 5}]}", ["windows.0.minuts", "did you mean minutes?"]),
        ("chanels: [C0OPS]", ["chanels is not a setting", "did you mean channels?"]),
        ("roles: {}\nchannels: [C0OPS]\nroles: {}", ["line 3", "the key roles is given twice"]),
        ("digest: {at: '8:00'}", ["digest.at is wrong (it is '8:00')", "a time of day such as 08:00"]),
        ("[1, 2]", ["must hold keys such as 'channels:'", "not a list"]),
        ("channels: [", ["is not valid YAML at line"]),
    ],
)
def test_a_wrong_ops_yaml_is_one_sentence_that_names_the_key(tmp_path, text, parts):
    with pytest.raises(settings.SettingsError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "ops.yaml") in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL is wrong: it must start with redis://"),
        ({"SLACK_BOT_TOKEN": "hunter2"}, "SLACK_BOT_TOKEN is wrong: it must start with xoxb-"),
        ({"SLACK_APP_TOKEN": "hunter2"}, "SLACK_APP_TOKEN is wrong: it must start with xapp-"),
        ({"MLFLOW_OPS_DATABASE_URL": "mysql://u:hunter2@h/d"}, "MLFLOW_OPS_DATABASE_URL is wrong"),
        ({"MLFLOW_TRACKING_URI": "mlflow:5000"}, "MLFLOW_TRACKING_URI is wrong"),
        ({"MLFLOW_OPS_CONFIG": "/nowhere/ops.yaml"}, "MLFLOW_OPS_CONFIG names /nowhere/ops.yaml"),
    ],
)
def test_a_wrong_variable_is_named_and_a_secret_is_not_shown(environ, part):
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(environ)
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_missing_variable_says_what_it_must_hold():
    with pytest.raises(settings.SettingsError, match=r"SLACK_BOT_TOKEN is not set: it must hold the Slack app's"):
        settings.load({}).environment.require("slack_bot_token")


def test_secrets_do_not_show_when_settings_are_printed():
    loaded = settings.load({"SLACK_BOT_TOKEN": "xoxb-hunter2", "REDIS_URL": "redis://:hunter2@h/0"})
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in loaded.model_dump_json()
