"""Alertmanager's webhook: one message a group whatever is delivered how often, and nothing for who may not."""

import base64
import io
import json
import random
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest
import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bot import alert_webhook
from bot.alert_webhook import app, authorised
from bot.alerts import Alerts
from bot.modals import silence
from commands import alert_commands, grammar
from mlflow_ops_sandbox.parts import ports
from workers import settings
from workers.errors import AlreadySo, OperatorError
from workers.operations.alerts import group as groups
from workers.operations.alerts import store, stream
from workers.operations.alerts.group import identify
from workers.operations.alerts.notification import FINGERPRINTS, NotificationError, read
from workers.operations.alerts.silence import AlertsSilence
from workers.operations.alerts.store import KEEP_SECONDS, AlertStore
from workers.operations.audit.trail import commands_of
from workers.operations.commands import maintenance
from workers.records import audit_log
from workers.records.outbox import Outbox
from workers.records.record import Record
from workers.records.store import Records
from workers.rendering import message
from workers.settings import Ops, SettingsError
from workers.systems import Systems

SECRET = "a secret of at least sixteen letters"
OPS = Ops.model_validate({"channels": ["C0OPS"], "roles": {"operator": {"users": ["U0OLEG"]}}})
NOW = 1_800_000_000.0


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".123456789Z"


def alert(name="MLflowDown", status="firing", began=NOW - 60, ended=None, annotations=None, **labels):
    labels = {"alertname": name, "severity": "critical", **labels}
    mark = format(abs(hash(tuple(sorted(labels.items())))) % 16**16, "016x")
    return {
        "status": status,
        "labels": labels,
        "annotations": annotations or {"summary": f"{name} it is."},
        "startsAt": moment(began),
        "endsAt": moment(ended) if ended else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up&g0.tab=1",
        "fingerprint": mark,
    }


def notification(*those, key="MLflowDown"):
    common = dict(set.intersection(*(set(each["labels"].items()) for each in those)))
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{key}"}}',
        "truncatedAlerts": 0,
        "status": "firing" if any(each["status"] == "firing" for each in those) else "resolved",
        "receiver": "mlflow-ops",
        "groupLabels": {"alertname": key},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(those),
    }


def resolved(*those, at=NOW):
    return [{**each, "status": "resolved", "endsAt": moment(at)} for each in those]


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def alarms(redis, clock):
    return Alerts(OPS, redis, clock=clock)


@pytest.fixture
def post(alarms):
    """Post to the webhook; the number of its answer."""

    def post(body, header=f"Bearer {SECRET}", path="/alerts", method="POST"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = []
        environ = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "HTTP_AUTHORIZATION": header,
            "wsgi.input": io.BytesIO(raw),
        }
        app(alarms, SECRET)(environ, lambda status, _headers: said.append(status))
        return int(said[0].split()[0])

    return post


class Slack:
    """What the outbox would have told, in order: (record, kind, text and blocks)."""

    def __init__(self, redis):
        self.records = Records(redis)
        self.outbox = Outbox(redis, clock=lambda: NOW + 10**6)
        self.said = []

    def read(self):
        while True:
            entry, _ = self.outbox.take()
            if entry is None:
                return self.said
            self.said.append((entry.record_id, entry.kind, json.dumps([entry.text, entry.blocks])))
            self.outbox.done(entry)

    def roots(self):
        """The messages that tell of alerts; not those of the checks beneath them."""
        roots = [record_id for record_id, kind, _ in self.read() if kind == "root"]
        return [each for each in roots if self.records.get(each).operation == "alerts-list"]

    def last(self, record_id):
        return [text for each, kind, text in self.read() if each == record_id and kind in {"root", "edit"}][-1]

    def replies(self, record_id):
        return [text for each, kind, text in self.read() if each == record_id and kind == "reply"]


@pytest.fixture
def slack(redis):
    return Slack(redis)


def group(redis, key="MLflowDown"):
    return AlertStore(redis).group(identify(f'{{}}:{{alertname="{key}"}}'))[1]


def checks(redis):
    found = (Records(redis).get(each) for each in Records(redis).open())
    return [record for record in found if record.beneath]


# Who may, and what is taken.


def test_the_secret_is_a_bearer_token_or_a_password():
    basic = base64.b64encode(f"alertmanager:{SECRET}".encode()).decode()
    assert authorised(f"Bearer {SECRET}", SECRET)
    assert authorised(f"bearer {SECRET}", SECRET)
    assert authorised(f"Basic {basic}", SECRET)
    wrong = base64.b64encode(f"{SECRET}:guess".encode()).decode()
    for header in (
        "",
        SECRET,
        f"Bearer {SECRET}x",
        "Bearer",
        f"Basic {wrong}",
        "Basic !!",
        "Basic /w==",
        "Bearer \udcff",
    ):
        assert not authorised(header, SECRET), header


def test_a_forged_call_changes_nothing(post, redis, slack):
    body = notification(alert())
    assert post(body, header="Bearer guessed-guessed-guessed") == 401
    assert post(body, header="") == 401
    assert slack.read() == []
    assert redis.keys("mlflow-ops:mlflow:alerts:*") == []
    assert post(body, path="/other") == 404
    assert post(body, method="GET") == 405
    assert post(b"", path="/healthz", method="GET", header="") == 200


def test_garbage_gets_a_400(post, slack):
    good = notification(alert())
    bad = [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"version": "4"}',
        {**good, "version": "3"},
        {**good, "alerts": []},
        {**good, "alerts": "all"},
        {**good, "groupKey": ""},
        {**good, "alerts": [{**alert(), "startsAt": "soon"}]},
        {**good, "alerts": [{**alert(), "startsAt": 5}]},
        {**good, "alerts": [{**alert(), "startsAt": "9999-12-31T23:59:59Z"}]},
        {**good, "alerts": [{**alert(), "labels": {"alertname": 5}}]},
        {**good, "alerts": [{**alert(), "fingerprint": "../../etc"}]},
    ]
    for body in bad:
        assert post(body) == 400, body
    assert slack.read() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_taken_or_refused(data, post):
    body = notification(alert())
    where = data.draw(st.sampled_from([body, body["alerts"][0], body["alerts"][0]["labels"]]))
    where[data.draw(st.sampled_from(sorted(where)) | st.text(max_size=20))] = data.draw(JSON)
    assert post(body) in {200, 400}


# One group, one message.


def test_a_group_fires_and_is_resolved_in_one_message(post, redis, slack, clock):
    one, two = alert(pod="a"), alert(pod="b", began=NOW - 30)
    assert post(notification(one)) == 200
    assert post(notification(one, two)) == 200
    (root,) = slack.roots()
    assert "2 firing" in slack.last(root)
    (check,) = checks(redis)
    assert (check.words, check.beneath) == ("health mlflow pods", root)
    clock.now = NOW + 120
    post(notification(one, *resolved(two, at=NOW + 100)))
    assert "1 firing" in slack.last(root)
    assert "1 resolved" in slack.last(root)
    assert slack.replies(root) == []
    post(notification(*resolved(one, at=NOW + 110)))
    assert "is resolved after 2 min" in slack.last(root)
    assert "2 alerts" in slack.last(root)
    assert "Silence" not in slack.last(root)
    assert len(slack.replies(root)) == 1
    assert slack.roots() == [root]


def test_the_audit_record_keeps_that_it_fired_and_that_it_is_over(post, redis):
    one = alert()
    for body in (notification(one), notification(one), notification(*resolved(one))):
        post(body)
    kept = [each.event for each in audit_log.entries(redis) if each.event["id"] == group(redis).id]
    assert [each["what"] for each in kept] == ["alert", "alert-resolved"]
    assert kept[0]["text"].startswith("MLflowDown")
    assert group(redis).id not in commands_of(audit_log.entries(redis))


def test_what_is_delivered_again_has_no_second_effect(post, redis, slack, clock):
    one = alert()
    first, second = notification(one), notification(*resolved(one))
    for body in (first, first, second, second):
        post(body)
    (root,) = slack.roots()
    assert len(slack.replies(root)) == 1
    said = len(slack.read())
    # Long afterwards: captured, or from an Alertmanager that comes back. It goes on where it was told before.
    clock.now = NOW + 20_000
    post(first)
    post(second)
    assert slack.roots() == [root]
    assert "fires again" in slack.replies(root)[1]
    assert len(checks(redis)) == 1
    assert len(slack.read()) > said


def test_the_same_told_by_many_at_once_is_told_once(redis, slack):
    body = json.dumps(notification(*(alert(pod=str(number)) for number in range(20)))).encode()
    threads = [threading.Thread(target=Alerts(OPS, redis).take, args=(read(body),)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(slack.roots()) == 1
    assert len(checks(redis)) == 1


def test_what_fires_anew_later_gets_a_message_of_its_own(post, slack, clock):
    post(notification(alert()))
    post(notification(*resolved(alert())))
    clock.now = NOW + 60
    post(notification(alert(began=NOW + 50)))
    assert len(slack.roots()) == 1
    assert "for the 2nd time" in slack.last(slack.roots()[0])
    clock.now = NOW + 70
    post(notification(*resolved(alert(began=NOW + 50), at=NOW + 65)))
    clock.now = NOW + 5000
    post(notification(alert(began=NOW + 4990)))
    assert len(slack.roots()) == 2


def test_a_bot_that_dies_in_between_is_made_whole_by_the_next_delivery(redis, slack, clock, monkeypatch):
    told = read(json.dumps(notification(alert())).encode())
    dying = Alerts(OPS, redis, clock=clock)
    monkeypatch.setattr(dying, "_beside", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dying.take(told)
    assert len(slack.roots()) == 1
    assert checks(redis) == []
    Alerts(OPS, redis, clock=clock).take(told)
    Alerts(OPS, redis, clock=clock).take(told)
    assert len(slack.roots()) == 1
    assert len(checks(redis)) == 1


def test_what_it_shows_is_harmless(post, redis, slack):
    annotations = {
        "summary": "*bold* <!channel> `x` password=hunter2hunter2",
        "description": "postgresql://mlflow:geheim99@db/mlflow " + "long " * 500,
        "runbook_url": "javascript:alert(1)",
    }
    post(notification(alert(pod="<@U0VERA>", token="abcdef123456", annotations=annotations)))
    text = slack.last(slack.roots()[0])
    for never in ("<!channel>", "hunter2", "geheim99", "<@U0VERA>", "abcdef123456", "javascript"):
        assert never not in text
    kept = redis.get(f"mlflow-ops:mlflow:alerts:group:{group(redis).id}")
    for secret in (b"hunter2", b"geheim99", b"abcdef123456"):
        assert secret not in kept


# Many at once.


@pytest.mark.slow
def test_a_storm_of_a_thousand_groups_becomes_one_message(post, redis, slack, clock):
    every = [f"Alert{number}" for number in range(1000)]
    random.Random(1).shuffle(every)
    for number, name in enumerate(every):
        clock.now = NOW + number * 0.06
        assert post(notification(alert("NodeDown", instance=name), key=name)) == 200
    own = slack.roots()
    assert len(own) == OPS.alerts.storm_above + 1
    assert len(checks(redis)) == OPS.alerts.storm_above
    storm = AlertStore(redis).crowd(AlertStore(redis).storm(""))[1].records[0]
    assert "995 alerts firing in 995 groups" in slack.last(storm)
    assert "995 `NodeDown`" in slack.last(storm)
    used = sum(redis.memory_usage(key) for key in redis.keys("mlflow-ops:mlflow:alerts:*"))
    assert used < 4 << 20
    assert all(0 < redis.ttl(key) <= KEEP_SECONDS for key in redis.keys("mlflow-ops:mlflow:alerts:[gc]*:*"))


def test_a_storm_that_nobody_reads_is_one_waiting_message_and_it_ends(post, redis, slack):
    every = [alert(instance=str(number)) for number in range(60)]
    for number, each in enumerate(every):
        post(notification(each, key=str(number)))
    waiting = sum(redis.llen(key) for key in redis.keys("mlflow-ops:mlflow:outbox:thread:*"))
    assert waiting == 2 * OPS.alerts.storm_above + 1
    own = slack.roots()
    for number, each in enumerate(every):
        post(notification(*resolved(each), key=str(number)))
    assert "The storm of alerts is over" in slack.last(
        AlertStore(redis).crowd(AlertStore(redis).storm(""))[1].records[0]
    )
    assert slack.roots() == own


def test_a_group_of_thousands_is_counted(post, redis, slack):
    those = [alert(pod=str(number)) for number in range(3000)]
    assert post({**notification(*those), "truncatedAlerts": 7}) == 200
    root = slack.roots()[0]
    assert "3,007 firing" in slack.last(root)
    assert "and 3,002 more" in slack.last(root)
    assert len(group(redis).firing) == FINGERPRINTS


def test_memory_ends_with_the_number_of_groups(post, redis, slack, clock, monkeypatch):
    monkeypatch.setattr(groups, "MEMBERS", 100)
    monkeypatch.setattr(store, "GROUPS", 200)
    for number in range(250):
        clock.now += 0.01
        post(notification(alert(instance=str(number)), key=str(number)))
    assert redis.zcard("mlflow-ops:mlflow:alerts:groups") <= 200
    storm = AlertStore(redis).crowd(AlertStore(redis).storm(""))[1]
    assert len(storm.members) == 100
    assert storm.groups == 245
    assert "in 245 groups" in slack.last(storm.records[0])


# Maintenance.


@pytest.fixture
def maintained(redis):
    record = Record(
        operation="maintenance-start", arguments={}, words="maintenance start", requester="U0OLEG", channel="C0OPS"
    )
    Records(redis).accept(record, "maintenance", message.asked(record.words, record.requester))
    Records(redis).update(record.id, root_ts="1.1")
    at = time.time()
    begun = maintenance.Maintenance(record_id=record.id, reason="moving", began_at=at, until=at + 3600)
    redis.set("mlflow-ops:mlflow:maintenance", begun.model_dump_json())
    return record


def test_maintenance_holds_them_with_a_note_and_what_still_fires_is_told_afterwards(
    post, redis, slack, alarms, maintained
):
    for name in ("MLflowBackupTooOld", "MLflowDrillFailed", "MLflowDown"):
        post(notification(alert(name), key=name))
    (note,) = slack.roots()
    assert Records(redis).get(note).beneath == maintained.id
    assert "Alarms held during this maintenance: 3 groups, 3 alerts firing" in slack.last(note)
    assert checks(redis) == []
    post(notification(*resolved(alert("MLflowDown"))))
    assert "2 alerts firing" in slack.last(note)
    assert alarms.release() == []
    maintenance.end(redis, "it was ended")
    assert len(alarms.release()) == 2
    assert alarms.release() == []
    new = [Records(redis).get(each) for each in slack.roots() if each != note]
    assert {record.requester for record in new} == {"alert:MLflowBackupTooOld", "alert:MLflowDrillFailed"}
    assert {record.words for record in checks(redis)} == {"health backup"}


# What fits, and silencing.


def test_every_command_that_a_button_offers_can_be_typed():
    for check in alert_commands._ABOUT:
        fit = alert_commands.fit(check, "", OPS)
        assert fit.offers or check == "logs"
        for offer in fit.offers:
            assert not isinstance(grammar.parse(offer.command), grammar.Help)


def test_what_fits_is_named_by_ops_yaml_by_the_rule_or_by_the_name():
    chosen = Ops.model_validate({"channels": ["C0OPS"], "alerts": {"checks": {"Odd": ["pods", "mlflow"], "No": []}}})
    assert alert_commands.fit("Odd", "/mlflow health postgres", chosen).check == "health pods mlflow"
    assert alert_commands.fit("No", "", chosen).check == ""
    assert alert_commands.fit("Odd", "/mlflow health postgres", OPS).check == "health postgres"
    assert alert_commands.fit("KubePodCrashLooping", "", OPS).check == "health pods"
    # A pod that was killed for memory, or died of something else, says so in the check of pods.
    assert alert_commands.fit("MLflowDown", "", OPS).check == "health mlflow pods"
    assert alert_commands.fit("MLflowHighMemory", "", OPS).check == "health resources pods"
    assert alert_commands.fit("KubeContainerOOMKilled", "", OPS).check == "health resources pods"
    assert alert_commands.fit("Watchdog", "rm -rf /", OPS).check == "health"
    # A change that a rule names is offered, and never run by itself.
    fit = alert_commands.fit("MLflowBackupTooOld", "/mlflow backup", OPS)
    assert fit.check == "health backup"
    assert fit.offers[0].command == "backup"


@given(why=st.text(max_size=400), chosen=st.sampled_from(["30m", "7d", "1y", "--why", None]))
def test_whatever_is_filled_in_becomes_one_command(why, chosen):
    record = Record(
        operation="alerts-list", arguments={"group": "3f2a9c01de"}, words="", requester="alert:X", channel="C0OPS"
    )
    values = {"for": {"for": {"selected_option": {"value": chosen}}}, "why": {"why": {"value": why}}}
    request = grammar.parse(silence.command(record, values))
    assert isinstance(request, AlertsSilence)
    assert request.target == "3f2a9c01de"
    assert request.seconds in {1800, 7200, 7 * 86_400}
    assert request.why == " ".join(why.split())[:300]


def test_a_silence_needs_an_alertmanager_and_something_to_silence(redis, redis_url, post):
    systems = Systems(settings.load({"REDIS_URL": redis_url}))
    with pytest.raises(OperatorError, match="do not know where Alertmanager is"):
        AlertsSilence(target="0123456789abcdef").plan(systems)
    with pytest.raises(OperatorError, match="There is no alert group 0123456789"):
        AlertsSilence(target="0123456789").plan(systems)
    # A label that was cut or blotted out would silence something else, or nothing.
    post({**notification(alert()), "groupLabels": {"alertname": "MLflowDown", "token": "abcdef123456"}})
    with pytest.raises(OperatorError, match="hold a secret"):
        AlertsSilence(target=group(redis).id).plan(systems)
    post({**notification(alert("Other"), alert("Another")), "groupKey": "{}:{}", "groupLabels": {}})
    with pytest.raises(OperatorError, match="no label in common"):
        AlertsSilence(target=identify("{}:{}")).plan(systems)
    post(notification(*resolved(alert())))
    with pytest.raises(AlreadySo, match="MLflowDown is resolved"):
        AlertsSilence(target=group(redis).id).plan(systems)


@pytest.mark.slow
def test_over_http_too_and_not_without_a_secret(local_slack, environment, started, free_port, tmp_path):
    port = ports.free()
    url = f"http://127.0.0.1:{free_port}/slack/events"
    way = ["--http", "--host", "127.0.0.1", "--port", str(free_port), "--alerts-port", str(port)]
    with local_slack(mode="http", request_url=url) as slack:
        env = environment(slack)
        refused = subprocess.run(
            [sys.executable, "-m", "bot", "bot", *way], env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert refused.returncode == 2
        assert "MLFLOW_OPS_ALERTS_SECRET is not set" in refused.stderr
        with started("bot", *way, env={**env, "MLFLOW_OPS_ALERTS_SECRET": SECRET}):
            address = f"http://127.0.0.1:{port}/alerts"
            given = {"Authorization": f"Bearer {SECRET}"}
            assert requests.post(address, json=notification(alert()), headers=given, timeout=10).status_code == 200
            assert requests.post(address, json=notification(alert()), timeout=10).status_code == 401
            vera = slack.person("vera")
            root = vera.wait_for(lambda: vera.find("C0OPS", "MLflowDown"), deadline=20)
            # The check waits for a worker, in the thread and not in the channel.
            vera.wait_for(lambda: vera.find_reply("C0OPS", root["ts"], "health mlflow"), deadline=20)
            assert len(vera.messages("C0OPS")) == 1


def test_a_check_that_there_is_not_is_told_at_the_start(redis_url):
    ops = {"channels": ["C0OPS"], "alerts": {"checks": {"Odd": ["podz"]}}}
    known = settings.load({"REDIS_URL": redis_url, "MLFLOW_OPS_ALERTS_SECRET": SECRET})
    wrong = known.model_copy(update={"ops": Ops.model_validate(ops)})
    with pytest.raises(SettingsError, match="there is no check 'podz'"), alert_webhook.served(wrong, "127.0.0.1", 0):
        pass


def test_garbage_says_what_is_wrong():
    with pytest.raises(NotificationError, match=r"alerts\.0\.labels"):
        read(json.dumps({**notification(alert()), "alerts": [{**alert(), "labels": []}]}).encode())


# As relays and Grafana send it, and of any size.


NULLS = [
    {"annotations": None},
    {"labels": None},
    {"annotations": {"summary": None}},
    {"labels": {"alertname": "MLflowDown", "pod": None}},
    {"generatorURL": None},
    {"fingerprint": None},
    {"startsAt": None},
    {"endsAt": None},
]


@pytest.mark.parametrize("changed", NULLS, ids=str)
def test_null_in_an_alert_is_nothing(post, slack, changed):
    assert post({**notification(alert()), "alerts": [{**alert(), **changed}]}) == 200
    assert "1 firing" in slack.last(slack.roots()[0])
    assert "1970" not in slack.last(slack.roots()[0])


@pytest.mark.parametrize(
    "field",
    ["groupLabels", "commonLabels", "commonAnnotations", "truncatedAlerts", "externalURL", "receiver", "version"],
)
def test_null_where_a_map_or_a_number_is_expected_is_nothing(post, slack, field):
    assert post({**notification(alert()), field: None}) == 200
    assert "MLflowDown" in slack.last(slack.roots()[0])


def grafana(*those):
    """As Grafana's contact point sends it."""
    beside = {
        "values": {"B": 44.2},
        "silenceURL": "https://g/s",
        "dashboardURL": "",
        "panelURL": "",
        "valueString": "[]",
    }
    return {
        **notification(*those),
        "version": "1",
        "orgId": 1,
        "title": "[FIRING:1] MLflowDown",
        "state": "alerting",
        "message": "**Firing**",
        "alerts": [{**each, **beside, "startsAt": "2027-01-15T09:52:26.739266876+02:00"} for each in those],
    }


def test_grafanas_contact_point_is_understood(post, slack):
    assert post(grafana(alert())) == 200
    assert post({**grafana(alert()), "alerts": [{**grafana(alert())["alerts"][0], "values": None}]}) == 200
    assert len(slack.roots()) == 1
    assert "MLflowDown" in slack.last(slack.roots()[0])


def six_thousand(number=6000, **changed):
    long = "x" * 500
    those = [alert(pod=str(each), annotations={"summary": long}) for each in range(number)]
    return {**notification(*those), **changed}


def test_six_thousand_alerts_of_five_hundred_characters_are_one_message_with_their_number(post, redis, slack):
    told = six_thousand()
    assert len(json.dumps(told)) > 4 << 20
    assert post(told) == 200
    assert post(told) == 200
    (root,) = slack.roots()
    assert "6,000 firing" in slack.last(root)
    assert len(group(redis).firing) == FINGERPRINTS
    over = {**told, "status": "resolved", "alerts": resolved(*told["alerts"])}
    assert post(over) == 200
    assert post(over) == 200
    assert "resolved after" in slack.last(root)
    assert "6,000 alerts" in slack.last(root)


def test_the_worst_of_many_is_told(post, slack):
    those = [alert(pod=str(each), severity="info") for each in range(1500)] + [alert(pod="last")]
    assert post(notification(*those)) == 200
    assert "critical" in slack.last(slack.roots()[0])
    assert "1,501 firing" in slack.last(slack.roots()[0])


def test_what_is_too_large_to_be_read_is_one_message_and_a_line_in_the_log(alarms, slack, capsys):
    body = json.dumps(six_thousand(3000)).encode()
    for _ in range(2):
        alarms.take(read(io.BytesIO(body), most=1 << 20))
    (root,) = slack.roots()
    said = slack.last(root)
    number = read(body, most=1 << 20).truncated + 1
    assert 500 < number < 3000
    assert "A notification too large to read" in said
    assert f"larger than 1.0 MiB: {number:,} alerts were read, the rest was not" in said
    assert f"{number:,} firing" in said
    assert "too large to be read whole" in capsys.readouterr().out


def test_reading_takes_no_more_memory_for_more_alerts():
    class Endless:
        """Alerts without an end."""

        rest = b'{"alerts": ['
        one = json.dumps(alert(annotations={"summary": "x" * 500})).encode() + b","

        def read(self, size):
            while len(self.rest) < size:
                self.rest += self.one * 64
            data, self.rest = self.rest[:size], self.rest[size:]
            return data

    tracemalloc.start()
    try:
        told = stream.read(Endless(), frozenset({"alerts"}), most=16 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not told.whole
    assert told.count > 10_000
    assert peak < 8 << 20


def test_a_body_of_any_size_is_taken_from_the_wire_and_bounded(redis, redis_url, slack, free_port, monkeypatch):
    monkeypatch.setattr(alert_webhook, "KEPT_BYTES", (1 << 20) + 1)
    monkeypatch.setattr(alert_webhook, "read", lambda body: read(body, most=1 << 20))
    known = settings.load({"REDIS_URL": redis_url, "MLFLOW_OPS_ALERTS_SECRET": SECRET})
    ready = known.model_copy(update={"ops": OPS})
    body = json.dumps(six_thousand(4000)).encode()
    given = {"Authorization": f"Bearer {SECRET}"}
    with alert_webhook.served(ready, "127.0.0.1", free_port):
        address = f"http://127.0.0.1:{free_port}/alerts"
        assert requests.post(address, data=body, headers=given, timeout=30).status_code == 200
        pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
        assert requests.post(address, data=pieces, headers=given, timeout=30).status_code == 200
        assert requests.post(address, data=body, timeout=30).status_code == 401
        assert requests.post(address, json=notification(alert()), headers=given, timeout=30).status_code == 200
    assert len(slack.roots()) == 2


def test_what_fires_and_is_not_told_of_any_more_says_so(post, alarms, slack, clock):
    """As with send_resolved: false."""
    post(notification(alert()))
    (root,) = slack.roots()
    clock.now += 11 * 3600
    assert alarms.fade() == []
    post(notification(alert()))
    clock.now += 13 * 3600
    assert len(alarms.fade()) == 1
    assert alarms.fade() == []
    assert "Alertmanager has told nothing of it since" in slack.last(root)
    post(notification(alert()))
    assert "told nothing" not in slack.last(root)
    clock.now += 13 * 3600
    assert len(alarms.fade()) == 1
    post(notification(*resolved(alert(), at=clock.now)))
    assert "resolved after" in slack.last(root)
    clock.now += 13 * 3600
    assert alarms.fade() == []
