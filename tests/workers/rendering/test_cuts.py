"""A cut keeps Slack's limits and splits nothing that Slack reads as one thing."""

import re

from hypothesis import given
from hypothesis import strategies as st

from workers.rendering import blocks, forms
from workers.rendering.blocks import cut, formatted, paragraphs, section

WHOLE = st.one_of(
    st.from_regex(r"<@U[A-Z0-9]{8}>", fullmatch=True),
    st.from_regex(r"<!subteam\^S[A-Z0-9]{8}>", fullmatch=True),
    st.from_regex(r"<https://example\.com/[a-z]{1,30}\|[a-z ]{1,20}>", fullmatch=True),
    st.sampled_from(["&amp;", "&lt;", "&gt;", "<!date^1767225600^{time}|12:00 UTC>"]),
)
WORDS = st.one_of(st.text(alphabet="ab é漢🙂\n", max_size=40), st.just("`kubectl get pods` "))
TEXTS = st.lists(st.one_of(WHOLE, WORDS), max_size=60).map("".join)
TOKEN = re.compile(r"<[^<>]*>|&\w+;")


def left_over(text):
    """What is neither a whole mention, link or entity, nor plain."""
    return TOKEN.sub("", text)


@given(TEXTS, st.integers(8, 400), st.booleans())
def test_nothing_is_split_and_the_limit_holds(text, limit, in_bytes):
    short = cut(text, limit, in_bytes=in_bytes)
    assert (len(short.encode()) if in_bytes else len(short)) <= limit
    assert not set("<>&") & set(left_over(short))
    if len(text.encode()) <= limit:
        assert short == text
    else:
        kept = re.sub(r"…`?$", "", short)
        assert text.startswith(kept)


@given(TEXTS.map(lambda text: text * 40))
def test_long_texts_are_split_between_what_belongs_together(text):
    shown = paragraphs(text.replace("\n", " "))
    for block in shown:
        assert len(block["text"]["text"]) <= blocks.SECTION_TEXT
        assert not set("<>&") & set(left_over(block["text"]["text"]))
    assert "".join(block["text"]["text"] for block in shown).split() == text.split()


def test_a_code_span_that_is_cut_is_closed():
    assert cut("run `kubectl get pods` now", 12) == "run `kubec…`"


def test_a_section_that_is_too_long_ends_before_the_mention():
    text = "x" * (blocks.SECTION_TEXT - 5) + "<@U012AB3CD>"
    assert "<@" not in section(text)["text"]["text"]


LINES = st.lists(st.text(alphabet="ab <&>é", max_size=60), min_size=1, max_size=150)


@given(LINES)
def test_no_fence_is_broken(lines):
    inside = [blocks.escape(line) for line in lines]
    for block in formatted("what it is\n```\n" + "\n".join(inside) + "\n```\nthat was it"):
        text = block["text"]["text"]
        assert len(text) <= blocks.SECTION_TEXT
        assert text.count("```") in {0, 2}


BLOCK = st.one_of(
    TEXTS.filter(str.strip).map(section),
    TEXTS.filter(str.strip).map(blocks.context),
    LINES.flatmap(lambda lines: st.sampled_from([*blocks.literal(lines)])),
    st.just(blocks.divider()),
    st.just(blocks.actions([blocks.button("undo", "Undo")])),
    TEXTS.filter(str.strip).map(lambda text: {"type": "markdown", "text": text}),
)


def said(messages):
    texts = [each for message in messages for each in (forms.text_of(message.blocks) or [message.text])]
    return re.sub(r"[\s`…]+", "", "".join(texts))


@given(st.lists(BLOCK, max_size=40))
def test_every_form_says_all_of_it_within_slacks_limits(made):
    words = said(forms.in_form(forms.AS_MADE, "the title", made)) if forms.text_of(made) else ""
    fewer = forms.in_form(forms.FEWER_BLOCKS, "the title", made)
    for message in fewer:
        assert len(message.blocks) <= blocks.BLOCKS
        assert blocks.weight(message.blocks) <= blocks.MESSAGE_BYTES
    if words:
        assert said(fewer) == words
    plain = forms.in_form(forms.PLAIN, "the title", made)
    assert len(plain) <= forms.PIECES
    for message in plain:
        assert len(message.text.encode()) <= 4000
        assert not set("<>&") & set(left_over(message.text))
        assert message.text.count("```") % 2 == 0
    if words and len(plain) < forms.PIECES:
        lost = re.sub(r"[\s`…]+", "", forms._BUTTONS_LOST)
        assert said(plain).removesuffix(lost) == words
