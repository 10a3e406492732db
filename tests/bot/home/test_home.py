"""The App Home: what each role sees and may press, kept fresh within Slack's limits, and safe to press."""

import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from slack_sdk import WebClient

from bot.app import Bot
from bot.buttons import Buttons
from bot.directory import Directory
from bot.home import page, publishing
from bot.home.events import Home
from bot.home.page import Person
from bot.home.publishing import Publisher
from bot.modals import asking, restore
from commands import grammar, policy
from mlflow_ops_sandbox.slack.blocks import blocks as slack_blocks
from mlflow_ops_sandbox.slack.client import actions, words
from mlflow_ops_sandbox.slack.testing import connected
from workers import settings
from workers.operation import Change, Operation, Plan
from workers.operations.alerts import store as alert_store
from workers.operations.alerts.group import Group
from workers.operations.backup import seen
from workers.operations.commands import maintenance
from workers.operations.commands.maintenance import Maintenance
from workers.operations.commands.overview import overview
from workers.operations.health import CHECKS
from workers.operations.history.store import History, sample
from workers.operations.incident.store import Incident, every, open_
from workers.records import counters, lacking
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Stage
from workers.records.store import Records
from workers.rendering import blocks, buttons, limits, message
from workers.rendering.thread import SlackThread
from workers.report import Check, Status
from workers.settings import Ops
from workers.wording import NOTHING

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
ROLES = {
    "viewer": {"users": ["U0VERA"]},
    "operator": {"users": ["U0OLEG"]},
    "approver": {"groups": ["S0APPROVE"]},
    "admin": {"users": ["U0ADA"]},
}
OPS = Ops.model_validate({"channels": ["C0OPS", "C0SECOND"], "roles": ROLES})
STILL = OPS.model_copy(update={"schedule": dict.fromkeys(("backup", "figures", "digest", "drill", "audit"))})
"""Nothing by the clock, so that nothing changes because time passes."""
PLAN = Plan(
    title="Scale mlflow",
    summary="from 2 to 9 replicas",
    steps=("Set the replicas",),
    changes=(Change(what="replicas", before="2", after="9"),),
    warnings=("The node has room for 8.",),
)
USUAL = ["ask-health", "ask-jobs", "ask-digest", "ask-backups", "ask-status", "ask-schedule"]
FORMS = [
    "ask-for-restore",
    "ask-for-scale",
    "ask-for-resources",
    "ask-for-archive",
    "ask-for-schedule",
    "ask-for-silence",
]
OPERATORS = ["ask-health", "ask-backup", *USUAL[1:], *FORMS, "ask-for-anything"]


GROUP = {
    "id": "3f2a9c01de",
    "name": "MLflowDown",
    "severity": "critical",
    **dict.fromkeys(("summary", "description", "runbook", "source"), ""),
    "matchers": {},
    "labels": {},
    "firing": ("a",),
    "began": 1.0,
}


def members(group):
    return frozenset({"U0ANNA", "U0ARUN"}) if group == "S0APPROVE" else frozenset()


def accepted(redis, text, requester="U0OLEG", channel="C0OPS", **fields):
    """A command as it stands at some point of its way."""
    record = policy.record_of(grammar.parse(text), text, requester, channel, OPS)
    record = record.model_copy(update={"root_ts": "1.1", "permalink": f"https://slack.example/{record.id}", **fields})
    Records(redis).accept(record, record.id, message.asked(text, requester))
    return record


def waiting(redis, text="scale 9", **fields):
    plan = {"plan": PLAN.model_dump(mode="json"), "digest": PLAN.digest}
    return accepted(redis, text, phase=Phase.PENDING, stage=Stage.PLAN, **(plan | fields))


def checked(redis, at, mebibytes=11.6, **ill):
    """A whole health run is made; `ill`: what is said by a check that is not well."""
    figures = {
        "postgres": {"size_bytes": mebibytes * 2**20},
        "mlflow": {"p95_seconds": 0.09},
        "backup": {"age_seconds": 1200.0, "drill_age_seconds": 86_400.0, "drill_well": 1.0, "restore_seconds": 42.0},
    }
    remembered(
        redis,
        at,
        *(
            Check(
                name=name,
                title=name,
                status=Status.FAIL if name in ill else Status.OK,
                sentence=ill.get(name, "It is well."),
                figures=figures.get(name, {}),
            )
            for name in CHECKS
        ),
    )


def remembered(redis, at, *checks):
    History(redis).keep(sample(checks, at))
    History(redis).say(checks)


@pytest.fixture
def everything(redis):
    """Something of each kind, as workers leave it."""
    checked(redis, NOW - timedelta(minutes=4), pods="mlflow-0 was restarted <!channel> 3 times.")
    running = accepted(redis, "backup", phase=Phase.RUNNING)
    progress = SlackThread(Outbox(redis), running, Records(redis), monotonic=iter(range(0, 1000, 5)).__next__)
    progress.step("Artifacts: copying")
    progress.advance(300, 1000, "objects")
    mine = accepted(redis, "health", "U0VERA", "C0SECOND")
    Records(redis).finish(mine.id, Ending(Phase.DONE, "All is well."))
    return {"running": running, "waits": waiting(redis)}


def figures_of(home):
    """The rows of its table, as they are read."""
    tables = [block for block in home["blocks"] if block["type"] in {"table", "data_table"}]
    assert len(tables) == 1
    return [[each["text"] for each in row] for row in tables[0]["rows"]]


def seen_by(redis, user, now=NOW):
    view = page.view(Person(user, OPS, members), overview(redis, OPS, user, now), now)
    stored, wrong = slack_blocks.checked(view["blocks"], limit=slack_blocks.IN_VIEW, surface=slack_blocks.HOME)
    assert not wrong, wrong
    assert not limits.refused_view(view)
    return {**view, "blocks": stored}


@pytest.mark.parametrize(
    ("user", "role", "to_what_waits", "to_what_runs", "to_ask"),
    [
        ("U0VERA", "viewer", ["details"], [], [*USUAL, "ask-for-anything"]),
        ("U0OLEG", "operator", ["withdraw", "details"], ["cancel"], OPERATORS),
        ("U0ANNA", "approver", ["approve", "deny", "details"], ["cancel"], OPERATORS),
        ("U0ADA", "admin", ["approve", "deny", "details"], ["cancel"], OPERATORS),
    ],
)
def test_each_role_sees_everything_and_may_press_what_policy_allows(
    everything, redis, user, role, to_what_waits, to_what_runs, to_ask
):
    home = seen_by(redis, user)
    assert actions(home) == ["ask-pods", *to_what_waits, "open-thread", *to_what_runs, *to_ask]
    said = words(home)
    assert f"You are {role} here" in said
    assert ":x: *Pods*; 10 of 11 checks OK" in said
    assert "mlflow-0 was restarted &lt;!channel&gt; 3 times." in said
    assert "*Scale mlflow*: from 2 to 9 replicas" in said
    assert "replicas: `2` → `9`" in said
    assert ":warning: The node has room for 8." in said
    assert (
        f"`/mlflow backup` by <@U0OLEG> in <#C0OPS> (<https://slack.example/{everything['running'].id}|thread>)" in said
    )
    assert "Artifacts: copying 300 of 1,000 objects" in said
    assert "▰▰▰▱▱▱▱▱▱▱ 30 %" in said
    assert ["Database size", "11.6 MiB"] in figures_of(home)
    assert f":white_check_mark: Last good set: <!date^{int(NOW.timestamp()) - 240 - 1200}^" in said
    assert "restored in 42 s" in said
    assert "*digest* `/mlflow digest` next <!date^" in said
    asked_last = "C0SECOND" if user == "U0VERA" else "C0OPS"
    assert f"*Run a command*: the answer goes to <#{asked_last}>" in said
    assert ("*Your last commands*" in said) is (user in {"U0VERA", "U0OLEG"})


def test_somebody_without_a_role_sees_who_may_and_nothing_else(everything, redis):
    (only,) = seen_by(redis, "U0EVE")["blocks"]
    assert only["text"]["text"].startswith(":lock: You have no role in ops.yaml")
    assert "accessory" not in only


def test_a_red_check_offers_what_helps_to_those_who_may(redis):
    checked(redis, NOW, backup="The last good backup is 3 h old.")
    assert "ask-backup" not in actions(seen_by(redis, "U0VERA"))
    assert actions(seen_by(redis, "U0OLEG")).count("ask-backup") == 2


def test_what_was_asked_again_since_the_last_whole_check_counts(redis):
    checked(redis, NOW - timedelta(minutes=30), pods="One is away.")
    well = Check(name="pods", title="Pods", status=Status.OK, sentence="They are there.")
    remembered(redis, NOW - timedelta(minutes=10), well)
    said = words(seen_by(redis, "U0VERA"))
    assert "*11 checks OK*" in said
    assert f"<!date^{int((NOW - timedelta(minutes=30)).timestamp())}^{{ago}}" in said


def test_old_figures_are_said_to_be_old_and_none_to_be_none(redis):
    assert "No health check yet" in words(seen_by(redis, "U0VERA"))
    checked(redis, NOW - timedelta(hours=3))
    assert "more than 2 h ago" in words(seen_by(redis, "U0VERA"))


def test_figures_stand_beside_those_of_a_day_before(redis):
    checked(redis, NOW - timedelta(minutes=1))
    assert figures_of(seen_by(redis, "U0VERA")) == [
        ["figure", "now"],
        ["Latency (p95)", "90 ms"],
        ["Database size", "11.6 MiB"],
    ]
    then = NOW - timedelta(hours=26)
    checked(redis, then, mebibytes=9.6)
    home = seen_by(redis, "U0VERA")
    assert figures_of(home) == [
        ["figure", "then", "now", "change"],
        ["Latency (p95)", "90 ms", "90 ms", NOTHING],
        ["Database size", "9.6 MiB", "11.6 MiB", "+2.0 MiB (+21%)"],
    ]
    assert f"*Figures*, beside those of <!date^{int(then.timestamp())}^" in words(home)


def test_what_is_further_from_a_day_than_half_a_day_is_no_day_before(redis):
    checked(redis, NOW - timedelta(hours=11))
    checked(redis, NOW - timedelta(hours=37))
    checked(redis, NOW)
    assert figures_of(seen_by(redis, "U0VERA"))[0] == ["figure", "now"]


def test_forty_of_each_fit_into_a_view_that_slack_takes(redis):
    checked(redis, NOW, **dict.fromkeys(CHECKS, "<!here> *x* " * 300))
    many = tuple(Change(what=f"<x> {n}", before="`" * 500, after="*" * 500) for n in range(100))
    plan = PLAN.model_copy(update={"changes": many, "warnings": ("w" * 900,) * 50, "summary": "s & < " * 2000})
    for number in range(40):
        waiting(redis, f"scale {9 + number}", plan=plan.model_dump(mode="json"))
        accepted(redis, "health " + "pods " * 500, "U0ANNA", phase=Phase.RUNNING)
    home = seen_by(redis, "U0ANNA")
    assert len(home["blocks"]) <= blocks.VIEW_BLOCKS
    assert "and 32 more" in words(home)
    assert "<!here>" not in words(home)
    assert "You are approver here" in words(home)
    assert len(json.dumps(home)) < 250_000


def test_what_belongs_to_a_channel_that_is_not_ours_is_not_shown(redis):
    waiting(redis)
    Records(redis).update(Records(redis).open()[0], channel="C0OTHER")
    assert "Scale mlflow" not in words(seen_by(redis, "U0ANNA"))


def test_every_button_asks_for_a_command_that_exists():
    for _, text in page.ASKS.values():
        assert isinstance(grammar.parse(text), Operation), text
    assert not {buttons.APPROVE.action, buttons.DENY.action} & set(page.ASKS)


# Keeping it fresh, against a Slack that answers as the real one does.


TAKEN = SimpleNamespace(status_code=200)
"""What a response_url answers."""


class Drawing:
    """A publisher whose clock the test moves."""

    def __init__(self, slack, redis, ops=STILL, members=members):
        self.now = time.time()
        self.slack, self.redis = slack, redis
        self.client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
        self.publisher = Publisher(self.client, redis, ops, members, clock=lambda: self.now)
        self.publisher.listen(0)

    def opens(self, name, view=None):
        person = self.slack.person(name)
        publishing.opened(self.redis, person.user_id, (view or person.home() or {}).get("hash", ""), self.now)
        return person

    def draws(self, seconds=0.0):
        """Let time pass, hear what happened, and draw what is due; how often that was."""
        self.now += seconds
        self.publisher.listen(0)
        drawn = 0
        while self.publisher.step() == 0:
            drawn += 1
        return drawn


@pytest.fixture
def stage(local_slack, redis):
    with local_slack() as slack:
        yield Drawing(slack, redis)


def test_a_home_is_drawn_when_opened_and_again_when_something_happens(stage, redis):
    vera = stage.opens("vera")
    assert stage.draws() == 1
    first = vera.home()
    assert "No health check yet" in words(first)
    stage.draws(publishing.ANYWAY_SECONDS + 1)
    assert vera.home()["hash"] == first["hash"], "nothing has changed: nothing is sent"
    waiting(redis)
    assert stage.draws() == 1
    assert "Scale mlflow" in words(vera.home())


def test_many_moments_are_one_drawing_for_each_person(stage, redis):
    vera, anna = stage.opens("vera"), stage.opens("anna")
    stage.draws()
    for number in range(50):
        waiting(redis, f"scale {9 + number}")
    hashes = {person.user_id: person.home()["hash"] for person in (vera, anna)}
    stage.draws()
    assert all(person.home()["hash"] == hashes[person.user_id] for person in (vera, anna)), "they were drawn just now"
    assert stage.draws(publishing.BETWEEN_SECONDS + 0.1) == 2
    assert all("50 commands waiting" in words(person.home()) for person in (vera, anna))


def test_progress_is_seen_while_something_runs(stage, redis):
    vera = stage.opens("vera")
    running = accepted(redis, "backup", phase=Phase.RUNNING)
    stage.draws()
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    Records(redis).tell_step(running.id, "Reading back", "3 of 4 parts", 0.75)
    stage.draws(publishing.STEP_SECONDS + 0.1)
    assert "Reading back 3 of 4 parts\n▰▰▰▰▰▰▰▰▱▱ 75 %" in words(vera.home())


def test_a_home_that_nobody_looks_at_any_more_is_left_alone(stage, redis):
    vera = stage.opens("vera")
    stage.draws()
    before = vera.home()["hash"]
    stage.draws(publishing.OPEN_SECONDS + 1)
    waiting(redis)
    assert stage.draws() == 0
    assert vera.home()["hash"] == before
    stage.opens("vera")
    stage.draws()
    assert "Scale mlflow" in words(vera.home())


def test_of_two_bots_neither_overwrites_what_the_other_has_drawn_later(stage, redis):
    vera = stage.opens("vera")
    stage.draws()
    other = {"type": "home", "blocks": [blocks.section("drawn by another")]}
    stage.client.views_publish(user_id="U0VERA", view=other)
    waiting(redis)
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    assert "drawn by another" in words(vera.home()), "the hash was an old one"
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    assert "Scale mlflow" in words(vera.home())


def test_what_slack_has_lost_is_drawn_again_though_nothing_changed(stage):
    vera = stage.opens("vera")
    stage.draws()
    before = vera.home()["hash"]
    stage.now += publishing.BETWEEN_SECONDS
    publishing.opened(stage.redis, "U0VERA", "", stage.now)
    stage.draws()
    assert vera.home()["hash"] != before


def test_what_slack_does_not_take_now_it_is_given_later(stage, redis):
    vera = stage.opens("vera")
    stage.slack.sandbox.fault("ratelimited", method="views.publish", count=1, retry_after=30)
    stage.draws()
    assert vera.home() is None
    assert stage.draws(29) == 0
    stage.slack.sandbox.away()
    stage.draws(2)
    stage.slack.sandbox.away(on=False)
    stage.draws(publishing.AWAY_SECONDS + 0.1)
    assert "No health check yet" in words(vera.home())
    assert counters.read(redis, counters.SLACK) == {("home", "again"): 2.0, ("home", "ok"): 1.0}


def kinds(home):
    return {block["type"] for block in home["blocks"]}


def test_a_workspace_without_tables_in_a_home_gets_the_figures_in_older_blocks_for_a_day(stage, redis):
    checked(redis, datetime.fromtimestamp(stage.now, UTC))
    vera = stage.opens("vera")
    stage.slack.sandbox.lacks("table")
    stage.draws()
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    assert "table" not in kinds(vera.home())
    assert "Database size  11.6 MiB" in words(vera.home())
    assert not lacking.lacks(redis, {"table"}), "a message may have what a Home may not"
    assert redis.ttl(f"{lacking._LACKS}{lacking.HOME}table") == pytest.approx(24 * 3600, abs=60)

    asked = stage.slack.sandbox.calls()["views.publish"]
    waiting(redis)
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    assert "Scale mlflow" in words(vera.home())
    assert stage.slack.sandbox.calls()["views.publish"] == asked + 1, "it is not offered a table again"

    stage.slack.sandbox.clear_faults()
    redis.delete(f"{lacking._LACKS}{lacking.HOME}table")
    stage.draws(publishing.ANYWAY_SECONDS + 1)
    assert "table" in kinds(vera.home()), "a day later it is tried again"


def test_a_home_that_slack_refuses_without_saying_why_is_drawn_in_older_blocks(stage, redis):
    checked(redis, datetime.fromtimestamp(stage.now, UTC))
    vera = stage.opens("vera")
    stage.slack.sandbox.fault("error", method="views.publish", count=1, error="invalid_arguments", status=200)
    stage.draws()
    stage.draws(publishing.BETWEEN_SECONDS + 0.1)
    assert "table" not in kinds(vera.home())
    assert "11.6 MiB" in words(vera.home())


def test_what_slack_refuses_is_not_tried_for_ever(stage, redis):
    vera = stage.opens("vera")
    stage.slack.sandbox.fault("error", method="views.publish", count=1, error="not_enabled", status=200)
    assert stage.draws() == 1
    assert stage.draws(60) == 0
    waiting(redis)
    stage.draws()
    assert "Scale mlflow" in words(vera.home())


@pytest.mark.slow
def test_a_hundred_and_fifty_people_at_once_are_drawn_within_the_tier_that_slack_allows(local_slack, redis):
    people = [{"id": f"U0N{n}", "name": f"n{n}", "real_name": f"N {n}", "email": f"n{n}@x.example"} for n in range(150)]
    everybody = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["*"]}}})
    with local_slack(people=people, usergroups=[], channels=[{"id": "C0OPS", "name": "ops"}]) as slack:
        slack.sandbox.fault("tiers", on=True)
        client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[])
        stage = Drawing(slack, redis, everybody, Directory(client, []).members)
        for each in people:
            publishing.opened(redis, each["id"], "", stage.now)
        began = stage.now
        while redis.zrangebyscore("mlflow-ops:mlflow:home:due", "-inf", began + 60 * 4):
            wait = stage.publisher.step()
            stage.now += wait
            if wait:
                slack.sandbox.advance(wait)
            assert stage.now - began < 180
        told = {each["id"]: slack.person(each["name"]).home() for each in people[::30]}
    assert all(told.values())
    assert counters.read(redis, counters.SLACK) == {("home", "ok"): 150.0}


def test_the_messages_tab_is_no_home(redis):
    home = Home(OPS, redis, members, Silent())
    home.opened({"type": "app_home_opened", "user": "U0VERA", "tab": "messages"})
    assert redis.zcard("mlflow-ops:mlflow:home:due") == 0
    home.opened({"type": "app_home_opened", "user": "U0VERA", "tab": "home"})
    assert redis.zcard("mlflow-ops:mlflow:home:due") == 1


# Pressing, over Slack's wire: a press at home is in no channel and has no address to answer to.


@pytest.fixture
def bot(local_slack, environment):
    """A bot of this process, with roles as above and no workers, at a local Slack."""
    with local_slack() as slack:
        loaded = settings.load(environment(slack))
        running = Bot(loaded)
        running.start()
        with connected(slack, running.app):
            yield slack
        running.close()


def at_home(person, said):
    """This person's Home, once it is drawn so."""
    return person.wait_for(lambda: (home := person.home()) and said in words(home) and home)


def test_what_waits_is_decided_at_home_under_the_same_rules_as_in_its_channel(bot, redis):
    vera, oleg, anna = (bot.person(name) for name in ("vera", "oleg", "anna"))
    record = waiting(redis)
    for person in (vera, oleg, anna):
        person.open_home()
    shown = {person.user_id: at_home(person, "Scale mlflow") for person in (vera, oleg, anna)}
    approve = next(block for block in shown["U0ANNA"]["blocks"] if "approve" in actions({"blocks": [block]}))
    assert anna.press_in_view("approve", view=shown["U0ANNA"], block_id=approve["block_id"]).ok
    for person in (vera, oleg, anna):
        at_home(person, "approved, waiting for a worker")
    known = Records(redis).get(record.id)
    assert (known.phase, known.decided_by) == (Phase.APPROVED, ("U0ANNA",))
    # The old view of somebody else, pressed late, is told so; in a window, as there is no channel.
    assert anna.press_in_view("cancel", view=anna.home()).ok
    window = anna.wait_for(anna.view)
    assert "It is stopped; nothing was done." in words(window)


def test_a_denial_from_home_asks_why(bot, redis):
    anna = bot.person("anna")
    record = waiting(redis)
    anna.open_home()
    home = at_home(anna, "Scale mlflow")
    assert anna.press_in_view("deny", view=home).ok
    anna.wait_for(anna.view)
    assert anna.submit_view({"reason": "not today"}).ok
    anna.wait_for(lambda: Records(redis).get(record.id).phase is Phase.DENIED)
    assert Records(redis).get(record.id).reason == "not today"


def test_a_command_from_home_is_asked_where_this_person_asked_last_and_home_says_where(bot, redis):
    vera = bot.person("vera")
    vera.open_home()
    home = at_home(vera, "*Run a command*")
    assert vera.press_in_view("ask-health", view=home).ok
    home = at_home(vera, "`/mlflow health` in <#C0OPS>")
    (record,) = [Records(redis).get(each) for each in Records(redis).open()]
    assert (record.words, record.requester, record.channel) == ("health", "U0VERA", "C0OPS")
    assert vera.press_in_view("ask-for-anything", view=home).ok
    vera.wait_for(vera.view)
    assert "Did you mean `/mlflow health`?" in vera.submit_view({"words": "/mlflow helth"}).errors["words"]
    assert "need the operator role" in vera.submit_view({"words": "scale 9"}).errors["words"]
    assert vera.submit_view({"words": "jobs"}).ok
    assert "`/mlflow jobs` is answered in <#C0OPS>" in words(vera.view())


class Silent:
    """A Slack that opens no window and takes no message: what it would be told is not what is tested."""

    def views_open(self, **_view):
        raise OSError

    def chat_postMessage(self, **_message):  # noqa: N802 - slack_sdk's
        raise OSError


PRESS = {
    "type": "block_actions",
    "user": {"id": "U0ANNA", "team_id": "T0SANDBOX"},
    "team": {"id": "T0SANDBOX"},
    "api_app_id": "A0",
    "trigger_id": "1.2.3",
    "container": {"type": "view", "view_id": "V0"},
    "view": {"id": "V0", "type": "home", "blocks": []},
}


@pytest.mark.parametrize(
    ("case", "changed"),
    [
        ("who asked cannot approve", {"user": {"id": "U0OLEG"}}),
        ("a viewer cannot approve", {"user": {"id": "U0VERA"}}),
        ("a stranger cannot approve", {"user": {"id": "U0EVE"}}),
        ("a window is no home", {"view": {"id": "V0", "type": "modal"}}),
        ("a message of another channel is no home", {"container": {"type": "message"}, "channel": {"id": "C0SECOND"}}),
        ("a home with a channel is none", {"channel": {"id": "C0SECOND"}}),
        ("neither container nor channel", {"container": None, "view": None}),
        ("what no home shows cannot be pressed in one", {"actions": [{"action_id": "retry"}]}),
    ],
)
def test_a_crafted_press_decides_nothing(redis, case, changed):
    record = waiting(redis)
    taken = Buttons(OPS, redis, members, Silent())
    body = {**PRESS, "actions": [{"action_id": "approve", "value": record.id}], **changed}
    if "actions" in changed:
        body["actions"][0] |= {"action_id": "again", "value": record.id}
    taken._listener(lambda known, user, _trigger: taken.approve(known, user))(lambda: None, body, lambda **_said: TAKEN)
    assert Records(redis).get(record.id).phase is Phase.PENDING, case


def test_the_same_press_by_an_approver_decides(redis):
    record = waiting(redis)
    taken = Buttons(OPS, redis, members, Silent())
    body = {**PRESS, "actions": [{"action_id": "approve", "value": record.id}]}
    taken._listener(lambda known, user, _trigger: taken.approve(known, user))(lambda: None, body, lambda **_said: TAKEN)
    assert Records(redis).get(record.id).phase is Phase.APPROVED


def test_an_incident_and_a_maintenance_are_the_first_lines(redis):
    record = accepted(redis, 'escalate "the disk is full"')
    open_(
        redis, Incident(id=record.id, channel="C0OPS", what="the disk is full", by="U0OLEG", began_at=NOW.timestamp())
    )
    lasts = Maintenance(record_id="x", reason="moving the database", began_at=NOW.timestamp(), until=time.time() + 600)
    redis.set(maintenance._KEY, lasts.model_dump_json())
    incidents = every(redis, OPS, Records(redis))
    view = page.view(Person("U0VERA", OPS, members), overview(redis, OPS, "U0VERA", NOW), NOW, incidents)
    first, second = view["blocks"][0]["text"]["text"].splitlines()
    assert "*Incident* in <#C0OPS>: the disk is full" in first
    assert record.permalink in first
    assert "*Maintenance* until" in second
    assert "moving the database" in second


@pytest.mark.parametrize("asked", asking.FORMS, ids=lambda each: each.name)
def test_each_form_is_one_that_slack_takes_and_asks_for_a_command_that_exists(redis, asked):
    group = Group(**GROUP)
    redis.set(f"{alert_store._PLACE}group:{group.id}", group.model_dump_json())
    redis.zadd(f"{alert_store._PLACE}groups", {group.id: 1.0})
    sets = [seen.Seen(f"a{number:05}", time.time() - number * 86_400, 1 << 20, "drill passed") for number in range(60)]
    seen._keep(redis, sets, time.time())
    ask = asking.Asking(OPS, Records(redis), members, None)
    view = ask.view(asked, "C0OPS")
    assert not limits.refused_view(view)
    assert not slack_blocks.checked(view["blocks"], limit=100, surface="modal")[1]
    typed = {"replicas": "3", "cpu_limit": "2", "experiment": "load forecast", "name": "a run"}
    values = {}
    for block in view["blocks"]:
        name, element = block["block_id"], block["element"]
        values[name] = element.get("initial_option", {}).get("value") or typed.get(name, "")
    assert isinstance(grammar.parse(asked.words(values)), Operation)
    assert isinstance(grammar.parse(asked.sample), Operation)


def test_the_menu_of_restore_has_the_sets_with_age_size_and_verdict(redis):
    seen._keep(redis, [seen.Seen("3fa0c1", time.time() - 7200, 3 << 20, "drill passed")], time.time() - 60)
    view = asking.Asking(OPS, Records(redis), members, None).view(restore.FORM, "C0OPS")
    menu = view["blocks"][1]["element"]["options"]
    assert [each["value"] for each in menu] == ["latest", "3fa0c1"]
    assert menu[1]["text"]["text"] == "3fa0c1, 2 h old, 3.0 MiB, drill passed"
    assert restore.words({"what": "database", "set": "3fa0c1"}) == "restore database 3fa0c1"
    assert restore.words({"what": "run", "set": "latest", "name": "a run"}) == "restore run 'a run'"
