"""What will come back is told before it is tried: roles that are gone, rights that are lacking, superusers' things."""

import json

import pytest

from workers.operations.backup import foreseen
from workers.systems.postgres.catalog import Line
from workers.systems.postgres.standing import Standing


def standing(**changed):
    """A role that is no superuser, on version 18, with the usual people."""
    usual = {
        "name": "ours",
        "superuser": False,
        "first": "postgres",
        "version": 180_000,
        "known": frozenset({"mlflow", "grafana", "analyst", "stranger"}),
        "takes_on": frozenset({"mlflow", "analyst"}),
        "administers": frozenset(),
        "settings": frozenset({"log_statement"}),
        "extensions": {"vector": frozenset({"0.8.5"})},
        "tablespaces": frozenset({"fast"}),
    }
    return Standing(**usual | changed)


def grant(name, to, what="SELECT", by="mlflow", *, passing=False):
    """A line of a privilege."""
    return Line("grant", name, json.dumps([to, what, passing, by]))


TABLE = Line("owner", "table public.runs", "mlflow")
OWNER = Line("database", "owner", "mlflow")


def test_what_is_ours_is_expected_as_it_was():
    lines = frozenset({TABLE, OWNER, grant("table public.runs", "grafana"), Line("table", "public.runs", "")})
    seen = foreseen.judged(lines, standing(), "mlflow")
    assert seen.expected == lines
    assert seen.lost == ()


def test_an_owner_of_another_name_takes_the_place_of_the_recorded_one():
    lines = frozenset({TABLE, OWNER, grant("table public.runs", "mlflow"), Line("setting", "mlflow", "work_mem=9MB")})
    seen = foreseen.judged(lines, standing(known=frozenset({"other"}), takes_on=frozenset({"other"})), "other")
    assert {line.detail for line in seen.expected if line.kind == "owner"} == {"other"}
    assert grant("table public.runs", "other", by="other") in seen.expected
    assert Line("setting", "other", "work_mem=9MB") in seen.expected
    assert seen.lost == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Line("owner", "table public.t", "leaver"), "the role leaver is gone, so they become mlflow's"),
        (Line("owner", "table public.t", "stranger"), "GRANT stranger TO ours"),
        (grant("table public.runs", "leaver"), "the role leaver is gone"),
        (grant("table public.runs", "grafana", by="stranger"), "stranger has given it"),
        (Line("default grant", '["stranger", null, "r"]', '+["grafana", "SELECT", false]'), "may not become stranger"),
        (Line("default grant", '["mlflow", null, "r"]', '+["leaver", "SELECT", false]'), "the role leaver is gone"),
        (Line("setting", "", "log_statement=all"), "only a superuser may set it"),
        (Line("setting", "grafana", "work_mem=1MB"), "ALTER ROLE grafana IN DATABASE"),
        (Line("setting", "leaver", "work_mem=1MB"), "the role leaver is gone"),
        (Line("publication", "everything", "of all tables insert"), "publication everything"),
        (Line("publication schema", "of_schema public", ""), "publication of_schema"),
        (Line("subscription", "theirs", ""), "subscription theirs"),
        (Line("event trigger", "note", ""), "a superuser makes it again by hand"),
        (Line("foreign table", "public.far", ""), "foreign table public.far"),
        (Line("database", "tablespace", "slow"), "tablespace slow"),
        (Line("extension", "vector", "0.1.0 in public"), "extension vector 0.1.0"),
    ],
)
def test_what_will_not_come_back_is_told(line, told):
    seen = foreseen.judged(frozenset({TABLE, OWNER, line}), standing(), "mlflow")
    assert any(told in each for each in seen.lost), seen.lost
    kept = line.kind == "extension"
    assert (line in seen.expected) == kept


def test_what_belongs_to_something_lost_is_not_expected_either():
    lines = {
        Line("publication", "everything", "of all tables insert"),
        Line("owner", "publication everything", "mlflow"),
        Line("comment", "publication everything", "said"),
        Line("foreign table", "public.far", ""),
        Line("column", "public.far.a", "1; integer"),
        grant("foreign table public.far", "grafana"),
    }
    assert foreseen.judged(frozenset(lines | {OWNER}), standing(), "mlflow").expected == {OWNER}


def test_a_superuser_keeps_what_others_may_not():
    everybody = frozenset({"mlflow", "grafana", "stranger", "postgres"})
    where = standing(superuser=True, takes_on=everybody, administers=everybody, known=everybody)
    lines = frozenset(
        {
            OWNER,
            Line("owner", "table public.t", "stranger"),
            Line("publication", "everything", "of all tables insert"),
            Line("setting", "", "log_statement=all"),
            Line("setting", "grafana", "work_mem=1MB"),
        }
    )
    seen = foreseen.judged(lines, where, "mlflow")
    assert (seen.expected, seen.lost) == (lines, ())


def test_an_owners_own_grants_go_with_the_thing_to_its_new_owner():
    lines = {OWNER, Line("owner", "table public.t", "leaver"), grant("table public.t", "leaver", by="leaver")}
    lines |= {grant("table public.t", "grafana", by="leaver")}
    seen = foreseen.judged(frozenset(lines), standing(), "mlflow")
    assert grant("table public.t", "mlflow", by="mlflow") in seen.expected
    assert grant("table public.t", "grafana", by="mlflow") in seen.expected


def test_the_schema_public_is_a_superusers_before_version_15():
    lines = frozenset({OWNER, Line("owner", "schema public", "mlflow"), grant("schema public", None, "USAGE")})
    old = foreseen.judged(lines, standing(version=140_000), "mlflow")
    assert "schema public" in old.loose
    assert any("ALTER SCHEMA public OWNER TO mlflow" in each for each in old.lost)
    assert foreseen.judged(lines, standing(), "mlflow").lost == ()


def test_what_makes_a_restore_impossible():
    lines = [
        Line("extension", '"uuid-ossp"', "1.1 in public"),
        Line("extension", "vector", "0.8.5 in public"),
        Line("function", "public.fast(integer)", "c; 0123"),
        Line("function", "public.slow(integer)", "plpgsql; 0123"),
        Line("type", "public.raw", "b"),
        Line("type", "public.mood", "e; 'sad'"),
    ]
    said = foreseen.impossible(lines, standing())
    assert len(said) == 3
    assert 'extension "uuid-ossp"' in said[0]
    assert "public.fast(integer)" in said[1]
    assert "type public.raw" in said[2]


def test_roles_are_found_wherever_they_are_named():
    lines = [
        OWNER,
        grant("table public.runs", "grafana", by="analyst"),
        grant("table public.runs", None),
        Line("default grant", '["maker", null, "r"]', '-["reader", "SELECT", false]'),
        Line("setting", "tuned", "work_mem=1MB"),
        Line("setting", "", "work_mem=1MB"),
    ]
    assert foreseen.roles(lines) == {"mlflow", "grafana", "analyst", "maker", "reader", "tuned"}
