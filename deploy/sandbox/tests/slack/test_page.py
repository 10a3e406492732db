"""The page, in a real browser."""

from __future__ import annotations

import re

import pytest

from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.testing import bolt_app, connected, example, serving

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

OPS = "C0OPS"


def plain(text):
    return {"type": "plain_text", "text": text}


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


def plan(user):
    deny = {"type": "button", "action_id": "deny", "text": plain("Deny"), "style": "danger"}
    dialog = {"title": plain("Deny?"), "text": mrkdwn("The *plan* goes."), "confirm": plain("Yes, deny")}
    return [
        {"type": "header", "text": plain("Restore?")},
        {"type": "section", "text": mrkdwn(f"<@{user}> asked. :warning: *Live* database")},
        {
            "type": "actions",
            "elements": [
                {"type": "button", "action_id": "approve", "text": plain("Approve"), "style": "primary"},
                {**deny, "confirm": dialog},
                {"type": "users_select", "action_id": "whom", "placeholder": plain("Ask somebody")},
                {"type": "overflow", "action_id": "more", "options": [{"text": plain("Cancel"), "value": "c"}]},
            ],
        },
    ]


MODAL = {
    "type": "modal",
    "callback_id": "scale",
    "title": plain("Change replicas"),
    "submit": plain("Preview"),
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": plain("Reason"),
            "element": {"type": "plain_text_input", "action_id": "text"},
        },
        {
            "type": "input",
            "block_id": "count",
            "label": plain("Replicas"),
            "element": {
                "type": "number_input",
                "action_id": "n",
                "is_decimal_allowed": False,
                "initial_value": "4",
            },
        },
    ],
}


def demo(app, got):
    @app.command("/mlflow")
    def command(ack, command, client):
        if command["text"] == "usage":
            ack("Did you mean `/mlflow health`?")
            return
        ack()
        if command["text"] == "modal":
            client.views_open(trigger_id=command["trigger_id"], view=MODAL)
            return
        ts = client.chat_postMessage(channel=OPS, text="asked")["ts"]
        client.chat_postMessage(channel=OPS, thread_ts=ts, text="step *one* done")
        client.files_upload_v2(channel=OPS, thread_ts=ts, filename="c.csv", content='name,n\n"a, b",1\n')
        client.chat_update(channel=OPS, ts=ts, text="Restore?", blocks=plan(command["user_id"]))

    @app.action(re.compile(".+"))
    def action(ack, action, body, client):
        ack()
        got.append((body["user"]["id"], action["action_id"], action.get("selected_user")))
        if action["action_id"] == "approve":
            ts = body["message"]["ts"]
            client.chat_postMessage(channel=OPS, thread_ts=ts, text=f"approved by <@{body['user']['id']}>")

    @app.view("scale")
    def submitted(ack, view):
        said = view["state"]["values"]["reason"]["text"]["value"]
        if said == "no":
            ack(response_action="errors", errors={"reason": "Say why, please."})
            return
        ack()
        got.append((said, view["state"]["values"]["count"]["n"]["value"]))

    @app.event("app_home_opened")
    def home(event, client):
        view = {"type": "home", "blocks": [{"type": "section", "text": mrkdwn(":large_green_circle: All is well")}]}
        client.views_publish(user_id=event["user"], view=view)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(Workspace.from_json(example()), tmp_path_factory.mktemp("slack")) as slack:
        app, got = bolt_app(slack), []
        demo(app, got)
        with connected(slack, app):
            yield slack, got


@pytest.fixture
def slack(served):
    return served[0]


@pytest.fixture
def got(served):
    served[1].clear()
    return served[1]


@pytest.fixture
def visit(open_page, slack):
    """Open the page of the local Slack."""

    def visit(query="", place=OPS, **options):
        return open_page(slack.base_url, query, place, **options)

    return visit


def run_restore(slack):
    oleg = slack.person("oleg")
    before = oleg.find(OPS, "Restore?") or {"ts": "0"}
    oleg.command(OPS, "/mlflow restore database latest")

    def asked():
        found = oleg.find(OPS, "Restore?")
        return found if found and found["ts"] > before["ts"] else None

    return oleg.wait_for(asked)["ts"]


def test_typing_a_command_offers_suggestions_that_narrow_down(visit):
    page = visit("?person=oleg")
    page.fill("#composer", "/ml")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator("#composer")).to_have_value("/mlflow ")
    expect(page.get_by_role("option")).to_have_count(6)
    page.keyboard.type("data")
    expect(page.get_by_role("option")).to_have_count(3)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[aria-selected=true]")).to_contain_text("backup database")
    page.keyboard.press("Enter")
    expect(page.locator("#composer")).to_have_value("/mlflow backup database")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_escape_closes_the_suggestions_and_keeps_the_text(visit):
    page = visit()
    page.fill("#composer", "/mlflow ")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.locator("#composer")).to_have_value("/mlflow ")


def test_a_command_runs_and_only_who_asked_sees_an_ephemeral_answer(visit):
    page, other = visit("?person=oleg"), visit("?person=vera")
    page.fill("#composer", "/mlflow usage")
    page.keyboard.press("Enter")
    shown = page.locator(".message.ephemeral").last
    expect(shown).to_contain_text("Only visible to you")
    expect(shown.locator("code")).to_have_text("/mlflow health")
    expect(other.locator(".message.ephemeral")).to_have_count(0)
    shown.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".message.ephemeral")).to_have_count(0)


def test_a_thread_opens_at_the_right_and_escape_closes_it(visit, slack):
    ts = run_restore(slack)
    page = visit("?person=anna")
    page.locator(f".message[data-ts='{ts}'] .replies").click()
    thread = page.get_by_label("Thread", exact=True)
    expect(thread.locator(".message")).to_have_count(3)
    expect(thread.locator("strong").filter(has_text="one")).to_be_visible()
    expect(thread.locator("td").first).to_have_text("a, b")
    assert page.url.endswith(f"#{OPS}/{ts}")
    page.keyboard.press("Escape")
    expect(thread).to_be_hidden()


def test_a_press_is_told_to_the_app_as_the_chosen_person(visit, slack, got):
    ts = run_restore(slack)
    page = visit("?person=oleg", f"{OPS}/{ts}")
    page.locator("[data-person=U0ARUN]").click()
    page.locator("#main [data-action=approve]").last.click()
    expect(page.locator("#thread")).to_contain_text("approved by @Arun Mehta")
    assert ("U0ARUN", "approve", None) in got
    expect(page.locator("#main .message").last).to_contain_text("3 replies")


def test_a_confirm_dialog_asks_first(visit, slack, got):
    run_restore(slack)
    page = visit("?person=anna")
    page.locator("[data-action=deny]").last.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The plan goes.")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.locator("[data-action=deny]").last.click()
    dialog.get_by_role("button", name="Yes, deny").click()
    expect(dialog).to_be_hidden()
    slack.person("anna").wait_for(lambda: got)
    assert got == [("U0ANNA", "deny", None)]


def test_selects_and_menus_tell_what_was_chosen(visit, slack, got):
    run_restore(slack)
    page = visit("?person=anna")
    page.locator("select[data-action=whom]").last.select_option(label="Arun Mehta")
    slack.person("anna").wait_for(lambda: got)
    page.locator("[data-action=more]").last.click()
    page.get_by_role("menuitem", name="Cancel").click()
    slack.person("anna").wait_for(lambda: len(got) == 2)
    assert got == [("U0ANNA", "whom", "U0ARUN"), ("U0ANNA", "more", None)]


def test_a_modal_shows_errors_and_submits(visit, slack, got):
    page = visit("?person=oleg")
    page.fill("#composer", "/mlflow modal")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Change replicas")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog).to_contain_text("Please complete this required field.")
    dialog.get_by_label("Reason").fill("no")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Say why, please.")
    dialog.get_by_label("Reason").fill("load test")
    dialog.get_by_role("button", name="Preview").click()
    expect(dialog).to_be_hidden()
    slack.person("oleg").wait_for(lambda: got)
    assert got == [("load test", "4")]


def test_the_person_who_types_can_be_changed(visit, slack):
    page = visit("?person=vera")
    page.keyboard.press("Alt+3")
    expect(page.locator("[data-person=U0ANNA]")).to_have_attribute("aria-checked", "true")
    page.fill("#composer", "from Anna, to @oleg in #mlflow-alerts")
    page.keyboard.press("Enter")
    last = page.locator(".message").last
    expect(last).to_contain_text("from Anna")
    expect(last.locator(".mention")).to_have_text(["@Oleg Brandt", "#mlflow-alerts"])
    assert slack.person("vera").messages(OPS)[-1]["user"] == "U0ANNA"


def test_the_home_tab_asks_the_app_and_shows_what_it_publishes(visit):
    page = visit("?person=arun", "home")
    expect(page.locator(".home")).to_contain_text("All is well")
    expect(page.locator(".home svg.emoji")).to_have_count(1)


def test_an_edit_changes_the_message_in_place(visit, slack):
    app = bolt_app(slack)
    ts = app.client.chat_postMessage(channel=OPS, text="before")["ts"]
    page = visit()
    shown = page.locator(f".message[data-ts='{ts}']")
    expect(shown).to_contain_text("before")
    app.client.chat_update(channel=OPS, ts=ts, text="after")
    expect(shown).to_contain_text("after (edited)")
    app.client.chat_delete(channel=OPS, ts=ts)
    expect(shown).to_have_count(0)


@pytest.mark.parametrize(
    "text",
    [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "<javascript:window.hacked=1|press>",
        "*<b onmouseover=window.hacked=1>*",
    ],
)
def test_what_people_write_is_never_markup(visit, slack, text):
    app = bolt_app(slack)
    blocks = [{"type": "section", "text": mrkdwn(text)}, {"type": "markdown", "text": text}]
    app.client.chat_postMessage(channel=OPS, text=text)
    app.client.chat_postMessage(channel=OPS, text=text, blocks=blocks)
    page = visit()
    shown = page.locator(".message").last
    expect(shown).to_be_visible()
    assert shown.locator("script, b, .text img").count() == 0
    assert shown.locator("a[href^=javascript]").count() == 0
    assert page.evaluate("window.hacked") is None


def test_mrkdwn_looks_as_in_slack(visit, slack):
    text = (
        "*bold* _it_ ~no~ `a*b*` <https://x.example|link> <!here> &lt;kept&gt; snake_case_name 2*3*4\n"
        "> quoted\n• item\n```\nx *y*\n```\n:tada: :nonsense:"
    )
    bolt_app(slack).client.chat_postMessage(channel=OPS, text=text)
    shown = visit().locator(".message").last.locator(".text")
    expect(shown.locator("strong")).to_have_text("bold")
    expect(shown.locator("em")).to_have_text("it")
    expect(shown.locator("s")).to_have_text("no")
    expect(shown.locator("code")).to_have_text("a*b*")
    expect(shown.locator("a")).to_have_attribute("href", "https://x.example")
    expect(shown.locator(".mention.loud")).to_have_text("@here")
    expect(shown.locator("blockquote")).to_have_text("quoted")
    expect(shown.locator("pre")).to_have_text("x *y*")
    expect(shown.locator(".list-line")).to_contain_text("item")
    for kept in ("<kept>", "snake_case_name", "2*3*4", ":nonsense:"):
        expect(shown).to_contain_text(kept)


def test_the_colours_follow_the_system_and_the_address_and_the_toggle(visit):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = ground(visit(color_scheme="light")), ground(visit(color_scheme="dark"))
    assert light != dark
    page = visit("?theme=dark", color_scheme="light")
    assert ground(page) == dark
    page.locator("#theme").click()
    assert ground(page) == light


def test_all_of_it_fits_at_900_pixels(visit, slack):
    ts = run_restore(slack)
    page = visit("?person=anna", f"{OPS}/{ts}", viewport={"width": 900, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    expect(page.get_by_label("Thread", exact=True)).to_be_visible()
    expect(page.locator("#thread-composer")).to_be_in_viewport()


def test_the_page_catches_up_after_the_server_was_gone(browser, tmp_path):
    space = Workspace.from_json(example())
    with serving(space, tmp_path) as first:
        port = int(first.base_url.rpartition(":")[2])
        first.person("oleg").post(OPS, "before")
        page = browser.new_page()
        page.goto(f"{first.base_url}/#{OPS}")
        page.wait_for_selector("html[data-ready=true]")
    with serving(space, tmp_path, port=port) as second:
        second.person("oleg").post(OPS, "meanwhile")
        expect(page.locator(".message").last).to_contain_text("meanwhile", timeout=15_000)
    page.close()


def test_everything_can_be_reached_by_keyboard(visit):
    page = visit("?person=oleg")
    page.locator("#skip").focus()
    names = ["skip"]
    for _ in range(14):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert page.locator("#skip").get_attribute("href") == "#main"
    assert "theme" in names
    assert "you-one" in names
    assert names.count("you-one") == 1
    assert any("place" in name for name in names)
