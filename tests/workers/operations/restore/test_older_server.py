"""What pg_restore writes loses the settings that a server does not know, at its beginning, and nothing else."""

import pytest

from workers.errors import OperatorError
from workers.operations.restore.older_server import Preamble, _keys_and_others, _shared

BEGINNING = b"""--
-- PostgreSQL database dump
--

\\restrict 62gYHo6foggX7yO256eB06ZbF6

-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: t; Type: TABLE
--

"""
REST = b"""CREATE TABLE t (x text);
COPY public.t (x) FROM stdin;
SET transaction_timeout = 0;
\\.

SET transaction_timeout = 0;
\\unrestrict 62gYHo6foggX7yO256eB06ZbF6
"""
UNKNOWN = frozenset({"transaction_timeout"})


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_only_the_beginning_is_looked_at_however_it_is_cut(size):
    preamble, text = Preamble(UNKNOWN), BEGINNING + REST
    passed = b"".join(preamble.passed(text[at : at + size]) for at in range(0, len(text), size)) + preamble.rest()
    assert passed == BEGINNING.replace(b"SET transaction_timeout = 0;\n", b"") + REST


def test_a_beginning_without_anything_after_it():
    preamble = Preamble(UNKNOWN)
    assert preamble.passed(BEGINNING) + preamble.rest() == BEGINNING.replace(b"SET transaction_timeout = 0;\n", b"")


def test_what_does_not_lock_out_commands_to_psql_is_not_given_to_it():
    preamble = Preamble(UNKNOWN)
    with pytest.raises(OperatorError, match="does not lock out commands to psql"):
        preamble.passed(BEGINNING.replace(b"\\restrict", b"-- restrict") + b"\\! touch /tmp/forged\n")
    assert preamble.refused


def test_a_command_before_it_is_locked_out_is_not_given_to_psql():
    with pytest.raises(OperatorError, match="does not lock out commands to psql"):
        Preamble(UNKNOWN).passed(b"\\! touch /tmp/forged\n" + BEGINNING + REST)


LISTED = """;
; Selected TOC Entries:
;
215; 1259 16386 TABLE public metrics mlflow
3347; 0 16386 TABLE DATA public metrics mlflow
3348; 0 16387 TABLE DATA public runs mlflow
3349; 0 16388 TABLE DATA odd tags mlflow
3350; 0 0 SEQUENCE SET public metrics_id_seq mlflow
3202; 2606 16392 CONSTRAINT public metrics metrics_pk mlflow
3203; 1259 16393 INDEX public index_metrics mlflow
3360; 0 0 COMMENT public INDEX index_metrics mlflow
3204; 2606 16397 FK CONSTRAINT public metrics metrics_fk mlflow""".splitlines()


def test_rows_are_shared_out_by_their_number():
    parts = _shared(LISTED, {"metrics": 1000, "runs": 600, "odd.tags": 500}, 2)
    assert [sum("TABLE DATA" in line for line in part) for part in parts] == [1, 2]
    assert sorted(line for part in parts for line in part) == sorted(LISTED)
    assert any("SEQUENCE SET" in line for line in parts[0])


def test_what_is_said_of_an_index_goes_with_it():
    keys, others = _keys_and_others(LISTED)
    assert [len(key) for key in keys] == [1, 2]
    assert others[-1].endswith("metrics_fk mlflow")
    assert not any("COMMENT" in line for line in others)


def test_an_index_is_attached_to_its_parent_after_both_are_made():
    lines = [
        "1; 1259 1 INDEX public parts_n mlflow",
        "2; 1259 2 INDEX public parts_1_n_idx mlflow",
        "3; 0 0 INDEX ATTACH public parts_1_n_idx mlflow",
        "4; 0 0 COMMENT public INDEX parts_n mlflow",
        "5; 2606 3 CONSTRAINT public runs runs_pkey mlflow",
        "6; 2606 4 FK CONSTRAINT public runs fk mlflow",
    ]
    keys, others = _keys_and_others(lines)
    assert keys == [lines[:1], lines[1:2], lines[4:5]]
    assert others == [lines[2], lines[3], lines[5]]
