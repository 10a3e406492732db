"""Statements that hand over what was restored: made of names that are there, and of nothing that a set says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.operations.backup import catalog_record
from workers.operations.backup.foreseen import Foreseen
from workers.operations.backup.manifest import DatabasePart, Stored
from workers.operations.restore import column_options, contents, likeness
from workers.operations.restore.handing_over import statements
from workers.systems.postgres.catalog import Line

THERE = frozenset(
    {
        Line("owner", "table public.runs", "mlflow"),
        Line("owner", 'view public."Odd Name"', "mlflow"),
        Line("owner", "function public.f(integer)", "mlflow"),
        Line("owner", "schema reporting", "mlflow"),
        Line("column", "public.runs.note", "1; text"),
    }
)


def grant(name, to, what="SELECT", by="mlflow", *, passing=False):
    """A line of a privilege."""
    return Line("grant", name, json.dumps([to, what, passing, by]))


def said(expected, actual=THERE):
    """The statements, as text, with the role that says each."""
    found = statements(frozenset(expected) | THERE, frozenset(actual), "mlflow", "mlflow_restore")
    return [(each.role, each.text.as_string(None)) for each in found]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (grant("table public.runs", "grafana"), 'GRANT SELECT ON TABLE public.runs TO "grafana"'),
        (grant("table public.runs", None), "GRANT SELECT ON TABLE public.runs TO PUBLIC"),
        (
            grant("table public.runs", "a", passing=True),
            'GRANT SELECT ON TABLE public.runs TO "a" WITH GRANT OPTION',
        ),
        (grant("table public.runs (note)", "a"), 'GRANT SELECT (note) ON TABLE public.runs TO "a"'),
        (grant('view public."Odd Name"', "a"), 'GRANT SELECT ON TABLE public."Odd Name" TO "a"'),
        (
            grant("function public.f(integer)", "a", "EXECUTE"),
            'GRANT EXECUTE ON ROUTINE public.f(integer) TO "a"',
        ),
        (grant("database", None, "CONNECT"), 'GRANT CONNECT ON DATABASE "mlflow_restore" TO PUBLIC'),
        (grant("large object 123", "a"), 'GRANT SELECT ON LARGE OBJECT 123 TO "a"'),
        (grant("schema reporting", 'a"b', "USAGE"), 'GRANT USAGE ON SCHEMA reporting TO "a""b"'),
    ],
)
def test_what_is_missing_is_granted_by_whoever_did(line, text):
    assert said({line}) == [("mlflow", text)]


def test_what_is_more_is_taken_away():
    more = grant("table public.runs", None, "SELECT")
    assert said(set(), THERE | {more}) == [("mlflow", "REVOKE SELECT ON TABLE public.runs FROM PUBLIC")]


def test_of_what_nothing_is_expected_nothing_is_taken_away():
    more = {grant("table public.lost", "mlflow"), Line("owner", "table public.lost", "mlflow")}
    assert said(set(), THERE | more) == []
    assert list(statements(frozenset(), THERE | more | {grant("database", None, "CONNECT")}, "mlflow", "x")) == []


def test_owners_and_default_privileges():
    changed = THERE - {Line("owner", "table public.runs", "mlflow")} | {Line("owner", "table public.runs", "analyst")}
    found = statements(changed, THERE, "mlflow", "x")
    assert [each.text.as_string(None) for each in found] == ['ALTER TABLE public.runs OWNER TO "analyst"']
    plus = Line("default grant", '["maker", "reporting", "r"]', '+["grafana", "SELECT", false]')
    minus = Line("default grant", '["maker", null, "f"]', '-[null, "EXECUTE", false]')
    assert said({plus, minus}) == [
        ("maker", 'ALTER DEFAULT PRIVILEGES IN SCHEMA "reporting" GRANT SELECT ON TABLES TO "grafana"'),
        ("maker", "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"),
    ] or said({plus, minus}) == [
        ("maker", "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"),
        ("maker", 'ALTER DEFAULT PRIVILEGES IN SCHEMA "reporting" GRANT SELECT ON TABLES TO "grafana"'),
    ]
    taken = said(set(), THERE | {plus, minus})
    assert ("maker", "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC") in taken
    assert ("maker", 'ALTER DEFAULT PRIVILEGES IN SCHEMA "reporting" REVOKE SELECT ON TABLES FROM "grafana"') in taken


HOSTILE = st.text("ab.\"';()- ", min_size=1, max_size=30).map(lambda text: f"{text}; DROP DATABASE mlflow; --{text}")
KINDS = st.sampled_from(
    ["table", "view", "function", "schema", "type", "large object", "publication", "column", "database"]
)


@given(KINDS, HOSTILE, HOSTILE, st.sampled_from(["SELECT", "SELECT; DROP DATABASE mlflow"]), HOSTILE)
def test_nothing_that_a_set_says_becomes_a_statement(kind, name, role, what, column):
    """Whatever a forged record names: it is quoted, or it is nothing."""
    lines = {
        Line("owner", f"{kind} {name}", role),
        grant(f"{kind} {name}", role, what),
        grant(f"{kind} {name} ({column})", role, what),
        grant(f"table public.runs ({column})", role, what),
        grant("table public.runs", role, what),
        Line("publication", name, "of all tables insert, delete"),
        Line("publication schema", f"{name} {column}", ""),
        Line("default grant", json.dumps([role, column, "r"]), "+" + json.dumps([role, what, False])),
    }
    for _, text in said(lines):
        outside, quoted = [], False
        for character in text:
            quoted ^= character == '"'
            outside.append(" " if quoted else character)
        assert "DROP DATABASE" not in "".join(outside), text


def part(version="18.4"):
    """A set's part from that version of the server."""
    stored = Stored(key="k", bytes=1, sha256="0")
    return DatabasePart(dump=stored, database="mlflow", server_version=version, pg_dump_version="18.4")


def test_that_a_database_is_not_described_is_told_by_the_backup_and_by_a_restore():
    (told,) = catalog_record.lacking(part())
    assert told.startswith("NOT IN THIS SET: who owns what in mlflow and who may use it.")
    described = part().model_copy(update={"catalog": part().dump})
    assert catalog_record.lacking(described) == ()
    too_many = "mlflow has more than 200,000 objects and rights on them."
    (told,) = likeness.uncompared(likeness.Recorded(frozenset(), exact=False, unread=too_many))
    assert told.startswith(f"{too_many} So everything will be its owner's, without grants and settings, and the result")
    (told,) = likeness.uncompared(likeness.Recorded(THERE, exact=False, unread="The key is lost."))
    assert "owners, grants and settings are the live database's" in told


def test_a_difference_in_an_object_is_another_thing_than_one_in_rights():
    expected = {
        Line("table", "public.a", ""),
        Line("function", "public.f()", "sql; 01"),
        Line("index", "public.i", "on x"),
        grant("t", "g"),
    }
    seen = Foreseen(frozenset(expected), ())
    actual = {
        Line("table", "public.b", ""),
        Line("function", "public.f()", "sql; 02"),
        Line("index", "public.i", "on y"),
    }
    told = likeness.different(seen, actual, major=18, of=part())
    assert set(told.objects) == {
        "table public.a is missing",
        "table public.b was not there",
        "function public.f() is another",
    }
    assert "index public.i is another" in told.rights
    assert len(told.rights) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "CHECK (((stage)::text = ANY ((ARRAY['active'::character varying, 'gone'::character varying])::text[])))",
            (
                "CHECK (((stage)::text = ANY "
                "(ARRAY[('active'::character varying)::text, ('gone'::character varying)::text])))"
            ),
        ),
        ("((n)::numeric(10,2) > (0)::numeric)", "(n > 0::numeric)"),
        ("(at > '2026-01-01 00:00:00'::timestamp without time zone)", "(at > '2026-01-01 00:00:00')"),
    ],
)
def test_a_server_that_reads_its_own_words_again_writes_others(one, other):
    seen = Foreseen(frozenset({Line("constraint", "c", one)}), ())
    assert likeness.different(seen, {Line("constraint", "c", other)}, major=18, of=part()).all == ()
    changed = other.replace("'active'", "'else'").replace(">", "<")
    assert likeness.different(seen, {Line("constraint", "c", changed)}, major=18, of=part()).all


def test_between_versions_only_names_are_compared():
    seen = Foreseen(frozenset({Line("view", "public.v", "SELECT x"), grant("table t", "m", "MAINTAIN")}), ())
    told = likeness.different(seen, {Line("view", "public.v", "SELECT v.x")}, major=18, of=part("15.20"))
    assert told.all == ()


def test_of_a_table_of_contents_what_others_see_to_is_left_out():
    lines = [
        "; a comment",
        "3; 1259 16386 TABLE public runs mlflow",
        "4; 0 0 ACL public TABLE runs mlflow",
        "5; 826 16388 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES mlflow",
        "6; 6104 16390 PUBLICATION - one mlflow",
        "7; 6106 16391 PUBLICATION TABLE public one runs mlflow",
        "8; 3466 16392 EVENT TRIGGER - note postgres",
        "9; 0 0 COMMENT - EVENT TRIGGER note postgres",
        "10; 0 0 COMMENT - SCHEMA public postgres",
        "11; 0 0 COMMENT - SCHEMA public_health postgres",
        "12; 0 0 COMMENT public TABLE runs mlflow",
        "13; 1259 1 TABLE public ACL mlflow",
        "14; 2615 1 SCHEMA - tools mlflow",
        "15; 2615 1 SCHEMA - tools_of_ours mlflow",
        "16; 3079 1 EXTENSION - vector ",
        "17; 0 0 COMMENT - EXTENSION vector ",
        "18; 1259 1 FOREIGN TABLE public far mlflow",
        "19; 2606 1 FK CONSTRAINT public runs fk mlflow",
    ]
    kept = [line.partition(";")[0] for line in contents.replayed(lines, {"tools"}).splitlines()]
    assert kept == ["", "3", "11", "12", "13", "15", "19"]


@given(st.integers(1, 60))
def test_options_of_columns_that_only_one_server_knows_are_left_out(length):
    """However the stream is cut."""
    said = (
        b"SET (pg_attver=1);\n"
        b"ALTER TABLE ONLY public.runs ALTER COLUMN note SET (pg_attver=61787536);\n"
        b'ALTER TABLE ONLY public."a (b)" ALTER COLUMN note SET (n_distinct=5, pg_attver=61787536);\n'
        b"ALTER TABLE ONLY public.runs ALTER COLUMN note SET (pg_attver=1, n_distinct=5);\n"
        b"ALTER TABLE ONLY public.runs ALTER COLUMN note SET (n_distinct=5);\n"
        b"COMMENT ON TABLE public.runs IS 'SET (pg_attver=1);';\nno end"
    )
    lines = column_options.Without()
    passed = b"".join(lines.passed(said[at : at + length]) for at in range(0, len(said), length)) + lines.rest()
    assert passed.splitlines() == [
        b"SET (pg_attver=1);",
        b'ALTER TABLE ONLY public."a (b)" ALTER COLUMN note SET (n_distinct=5);',
        b"ALTER TABLE ONLY public.runs ALTER COLUMN note SET (n_distinct=5);",
        b"ALTER TABLE ONLY public.runs ALTER COLUMN note SET (n_distinct=5);",
        b"COMMENT ON TABLE public.runs IS 'SET (pg_attver=1);';",
        b"no end",
    ]
