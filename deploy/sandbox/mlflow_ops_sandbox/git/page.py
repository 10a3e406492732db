"""The page where a person looks at pull requests, and merges or closes them. No script: forms and links only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import urlsplit

from aiohttp import web

from mlflow_ops_sandbox.git.api import HOST, Host
from mlflow_ops_sandbox.git.pulls import Pull
from mlflow_ops_sandbox.git.store import Conflict, Missing

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--ground:#fff;--pale:#f6f8fa;--go:#1f883d;
--done:#8250df;--stop:#cf222e;--plus:#dafbe1;--minus:#ffebe9}
@media(prefers-color-scheme:dark){:root{--ink:#f0f6fc;--soft:#9198a1;--line:#3d444d;--ground:#0d1117;--pale:#151b23;
--go:#238636;--done:#8957e5;--stop:#da3633;--plus:#12261e;--minus:#25171c}}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header{background:var(--pale);border-bottom:1px solid var(--line);padding:14px 24px;font-weight:600}
header a{color:inherit;text-decoration:none}main{max-width:960px;margin:24px auto;padding:0 24px}
h1{font-size:24px;font-weight:400;margin:0 0 8px}h1 span,.soft{color:var(--soft)}
.state{display:inline-block;border-radius:999px;color:#fff;padding:3px 12px;font-weight:600;font-size:13px}
.open{background:var(--go)}.merged{background:var(--done)}.closed{background:var(--stop)}
.box{border:1px solid var(--line);border-radius:6px;margin:18px 0;overflow:hidden}
.box>div{padding:12px 16px}.box>div+div{border-top:1px solid var(--line)}.head{background:var(--pale);font-weight:600}
pre{margin:0;font:13px/1.6 ui-monospace,monospace;overflow-x:auto}
pre span{display:block;padding:0 16px;min-height:1.6em}
.plus{background:var(--plus)}.minus{background:var(--minus)}.at{color:var(--soft);background:var(--pale)}
code{background:var(--pale);border-radius:4px;padding:1px 5px;font:13px ui-monospace,monospace}ul{margin:4px 0}
form{display:inline}button{border:1px solid var(--line);border-radius:6px;padding:7px 16px;font:inherit;font-weight:600;
cursor:pointer;background:var(--pale);color:var(--ink);margin-right:8px}button.go{background:var(--go);color:#fff}
a{color:inherit}
"""


def routes() -> list[web.RouteDef]:
    """The list, one pull request, and its two buttons."""
    return [
        web.get("/", _list),
        web.get("/{owner}/{repo}", _list),
        web.get("/{owner}/{repo}/pull/{number:\\d+}", _one),
        web.post("/{owner}/{repo}/pull/{number:\\d+}/merge", _pressed(lambda host, number: host.pulls.merge(number))),
        web.post("/{owner}/{repo}/pull/{number:\\d+}/close", _pressed(lambda host, number: host.pulls.close(number))),
    ]


async def _list(request: web.Request) -> web.Response:
    host = request.app[HOST]
    rows = "".join(
        f'<div>{_badge(each)} <a href="{escape(host.page_of(each))}"><b>{escape(each.title)}</b></a>'
        f'<div class="soft">#{each.number} · {escape(each.head)} → {escape(each.base)} · {each.created_at}</div></div>'
        for each in host.pulls.every()
    )
    empty = '<div class="soft">There is none yet. The bot opens one for an approved change.</div>'
    return _page(host, f'<h1>Pull requests</h1><div class="box">{rows or empty}</div>')


async def _one(request: web.Request) -> web.Response:
    host = request.app[HOST]
    try:
        pull = host.pulls.get(int(request.match_info["number"]))
    except Missing:
        raise web.HTTPNotFound(text="There is no such pull request.") from None
    head = pull.head_sha if pull.state != "open" else host.store.head(pull.head)
    diff = await asyncio.to_thread(host.store.diff, pull.base_sha, head)
    title = f"<h1>{escape(pull.title)} <span>#{pull.number}</span></h1>"
    about = f'{_badge(pull)} <span class="soft">{escape(pull.head)} → {escape(pull.base)}</span>'
    text = f'<div class="box"><div class="head">mlflow-ops</div><div>{_markdown(pull.body)}</div></div>'
    changed = f'<div class="box"><div class="head">Files changed</div><pre>{_coloured(diff)}</pre></div>'
    return _page(host, f"{title}{about}{text}{changed}{_end(host, pull)}")


def _pressed(do: Callable[[Host, int], Pull]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.Response:
        host, number = request.app[HOST], int(request.match_info["number"])
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="Only this page may do that.")
        try:
            pull = await asyncio.to_thread(do, host, number)
        except Missing:
            raise web.HTTPNotFound(text="There is no such pull request.") from None
        except Conflict:
            raise web.HTTPConflict(text="It is not open any more, or it cannot be merged.") from None
        raise web.HTTPSeeOther(host.page_of(pull))

    return handler


def _page(host: Host, inner: str) -> web.Response:
    top = f'<header><a href="{escape(host.url)}/">{escape(host.name)}</a></header>'
    name = escape(host.name)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style></head><body>{top}<main>{inner}</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)


def _state(pull: Pull) -> str:
    return "merged" if pull.merged_at else pull.state


def _badge(pull: Pull) -> str:
    return f'<span class="state {_state(pull)}">{_state(pull).capitalize()}</span>'


def _end(host: Host, pull: Pull) -> str:
    if pull.state != "open":
        commit = f" as <code>{escape(pull.commit[:7])}</code>" if pull.commit else ""
        return f'<p class="soft">{_state(pull).capitalize()}{commit} at {escape(pull.closed_at or "")}.</p>'
    here = escape(host.page_of(pull))
    return (
        f'<form method="post" action="{here}/merge"><button class="go">Merge pull request</button></form>'
        f'<form method="post" action="{here}/close"><button>Close pull request</button></form>'
    )


def _coloured(diff: str) -> str:
    shown = [line for line in diff.splitlines() if not line.startswith(("index ", "diff "))]
    return "".join(f'<span class="{_kind(line)}">{escape(line)}</span>' for line in shown)


def _kind(line: str) -> str:
    if line.startswith(("+++", "---", "@@")):
        return "at"
    return {"+": "plus", "-": "minus"}.get(line[:1], "")


def _markdown(text: str) -> str:
    """Bold, code, lists and paragraphs: what our own texts have."""
    made, in_list = [], False
    for line in text.splitlines():
        safe = re.sub(r"`([^`]*)`", r"<code>\1</code>", re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(line.rstrip())))
        item = safe.startswith("- ")
        if item != in_list:
            made.append("<ul>" if item else "</ul>")
            in_list = item
        made.append(f"<li>{safe[2:]}</li>" if item else f"<div>{safe or '&nbsp;'}</div>")
    return "".join(made) + ("</ul>" if in_list else "")
