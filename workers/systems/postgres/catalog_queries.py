"""The queries behind catalog.py: each gives rows of a kind, a name and a detail, on PostgreSQL 13 to 18.

What differs between versions stands in braces and is filled in there, or is read by way of to_jsonb, which gives null
for a column that this version has not. Invalid indexes are left out: pg_dump leaves them out too. NOT NULL is a
constraint of its own since 18, and a property of the column before; it is told as the latter.
"""

# ruff: noqa: S608 - all of it is ours

from __future__ import annotations

from typing import Final, LiteralString

_OURS: Final[LiteralString] = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_FIRST: Final[LiteralString] = "16384"
"""The first oid that is not PostgreSQL's own (access/transam.h, FirstNormalObjectId)."""


def _free(catalog: LiteralString, oid: LiteralString) -> LiteralString:
    """That no extension brings it."""
    return (
        f"NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} "
        "AND e.deptype = 'e')"
    )


_RELATION: Final[LiteralString] = """CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
  WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' END"""
_ROUTINE: Final[LiteralString] = """CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure'
  ELSE 'function' END"""
_KINDS: Final[LiteralString] = "c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')"
_RELATIONS: Final[LiteralString] = f"""pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OURS} AND {_KINDS} AND {_free("pg_class", "c.oid")}"""
_TYPES: Final[LiteralString] = f"""pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE {_OURS} AND t.typrelid = 0 AND t.typtype IN ('b', 'd', 'e', 'r') AND t.typcategory <> 'A'
  AND {_free("pg_type", "t.oid")}"""
_ROUTINES: Final[LiteralString] = f"""pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang WHERE {_OURS} AND {_free("pg_proc", "p.oid")}"""
_LINKED: Final[LiteralString] = """EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
  AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)"""
"""A column's own sequence: whose it is follows from the table."""

_OBJECTS: Final[tuple[LiteralString, ...]] = (
    f"""
SELECT 'schema', quote_ident(n.nspname), '' FROM pg_namespace n WHERE {_OURS} AND {_free("pg_namespace", "n.oid")}
""",
    f"""
SELECT {_RELATION}, format('%I.%I', n.nspname, c.relname), concat_ws('; ',
  CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END, array_to_string(c.reloptions, ', '),
  (SELECT 'toast ' || array_to_string(t.reloptions, ', ') FROM pg_class t WHERE t.oid = c.reltoastrelid),
  (SELECT 'tablespace ' || quote_ident(s.spcname) FROM pg_tablespace s WHERE s.oid = c.reltablespace),
  CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
  CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, pg_get_expr(c.relpartbound, c.oid),
  (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
   FROM pg_inherits i WHERE i.inhrelid = c.oid),
  CASE WHEN c.relrowsecurity THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END,
  CASE WHEN c.relkind IN ('r', 'p') AND c.relreplident <> 'd' THEN 'replica identity ' || c.relreplident::text END,
  (SELECT 'using ' || quote_ident(m.amname) FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'),
  CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'empty' END,
  (SELECT concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
   FROM pg_sequence q WHERE q.seqrelid = c.oid))
FROM {_RELATIONS}
""",
    f"""
SELECT 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), concat_ws('; ',
  row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull THEN 'not null' END, 'default ' || pg_get_expr(d.adbin, d.adrelid),
  'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
  CASE WHEN a.attcollation <> y.typcollation THEN 'collation ' || a.attcollation::regcollation END,
  CASE WHEN a.attstorage <> y.typstorage THEN 'storage ' || a.attstorage::text END, {{compression}},
  'statistics ' || nullif(a.attstattarget, -1),
  nullif(array_to_string(ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver='), ', '), ''),
  array_to_string(a.attfdwoptions, ', '))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE {_OURS} AND {_KINDS} AND c.relkind <> 'S' AND a.attnum > 0 AND NOT a.attisdropped
  AND {_free("pg_class", "c.oid")}
""",
    f"""
SELECT 'constraint', format('%s %I', CASE WHEN k.conrelid <> 0 THEN k.conrelid::regclass::text
  ELSE k.contypid::regtype::text END, k.conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE {_OURS} AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0
  AND {_free("pg_class", "k.conrelid")} AND {_free("pg_type", "k.contypid")}
""",
    f"""
SELECT 'index', format('%I.%I', n.nspname, c.relname), concat_ws('; ', pg_get_indexdef(c.oid),
  CASE WHEN x.indisclustered THEN 'clustered' END, CASE WHEN x.indisreplident THEN 'replica identity' END,
  (SELECT 'tablespace ' || quote_ident(s.spcname) FROM pg_tablespace s WHERE s.oid = c.reltablespace))
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OURS} AND (x.indisvalid OR c.relkind = 'I') AND {_free("pg_class", "x.indrelid")}
""",
    f"""
SELECT {_ROUTINE}, p.oid::regprocedure::text, concat_ws('; ', l.lanname,
  CASE WHEN p.prosecdef THEN 'security definer' END,
  md5(CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE
    (SELECT concat_ws(' ', g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn,
       g.aggminvtransfn, g.aggtranstype::regtype, g.agginitval, g.aggkind) FROM pg_aggregate g WHERE g.aggfnoid = p.oid)
  END))
FROM {_ROUTINES}
""",
    f"""
SELECT 'trigger', format('%s %I', t.tgrelid::regclass, t.tgname), pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND {_OURS}
""",
    f"""
SELECT 'rule', format('%s %I', r.ev_class::regclass, r.rulename), pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND {_OURS} AND {_free("pg_class", "c.oid")}
""",
    f"""
SELECT 'policy', format('%s %I', o.polrelid::regclass, o.polname), concat_ws('; ', o.polcmd, o.polpermissive,
  (SELECT string_agg(coalesce(r.rolname, 'PUBLIC'), ', ' ORDER BY r.rolname)
   FROM unnest(o.polroles) u LEFT JOIN pg_roles r ON r.oid = u),
  pg_get_expr(o.polqual, o.polrelid), 'check ' || pg_get_expr(o.polwithcheck, o.polrelid))
FROM pg_policy o JOIN pg_class c ON c.oid = o.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
""",
    f"""
SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, format_type(t.oid, NULL), concat_ws('; ', t.typtype,
  (SELECT string_agg(quote_literal(v.enumlabel), ', ' ORDER BY v.enumsortorder) FROM pg_enum v
   WHERE v.enumtypid = t.oid),
  CASE WHEN t.typtype = 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
    CASE WHEN t.typnotnull THEN 'not null' END, t.typdefault, nullif(t.typcollation, 0)::regcollation) END,
  (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid))
FROM {_TYPES}
""",
    """
SELECT 'extension', quote_ident(x.extname), format('%s in %I', x.extversion, n.nspname)
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname <> 'plpgsql'
""",
    """
SELECT 'publication', quote_ident(p.pubname), concat_ws(' ', CASE WHEN p.puballtables THEN 'of all tables' END,
  CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
  CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END,
  CASE WHEN p.pubviaroot THEN 'via root' END)
FROM pg_publication p
""",
    """
SELECT 'publication table', format('%I %s', p.pubname, r.prrelid::regclass),
  concat_ws(' ', '(' || {columns} || ')', 'WHERE (' || {rows} || ')')
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
""",
    """
SELECT 'subscription', quote_ident(s.subname), '' FROM pg_subscription s
WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
""",
    "SELECT 'large objects', 'all', count(*)::text FROM pg_largeobject_metadata HAVING count(*) > 0",
)


def _others(catalog: LiteralString, oid: LiteralString = "o.oid", detail: LiteralString = "''") -> LiteralString:
    """Objects that have no query of their own, by what the server calls them."""
    return f"""
SELECT i.type, i.identity, {detail} FROM {catalog} o,
  LATERAL pg_identify_object('{catalog}'::regclass, {oid}, 0) i
WHERE {oid} >= {_FIRST} AND i.schema IS DISTINCT FROM 'pg_catalog' AND {_free(catalog, oid)}
"""


_MORE: Final[tuple[LiteralString, ...]] = (
    _others(
        "pg_collation",
        detail="concat_ws(' ', o.collprovider, to_jsonb(o) ->> 'collcollate', to_jsonb(o) ->> 'collctype', "
        "coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale'), to_jsonb(o) ->> 'collicurules', "
        "o.collisdeterministic)",
    ),
    _others("pg_statistic_ext", detail="pg_get_statisticsobjdef(o.oid)"),
    _others(
        "pg_event_trigger",
        detail="concat_ws(' ', o.evtevent, o.evtfoid::regproc, array_to_string(o.evttags, ','), o.evtenabled)",
    ),
    _others("pg_cast"),
    _others("pg_conversion"),
    _others("pg_operator"),
    _others("pg_opclass"),
    _others("pg_opfamily"),
    _others("pg_language"),
    _others("pg_am"),
    _others("pg_transform"),
    _others("pg_ts_config"),
    _others("pg_ts_dict"),
    _others("pg_ts_parser"),
    _others("pg_ts_template"),
    _others("pg_foreign_data_wrapper"),
    _others("pg_foreign_server"),
)


def _owners(catalog: LiteralString, owner: LiteralString) -> LiteralString:
    return f"""
SELECT 'owner', i.type || ' ' || i.identity, pg_get_userbyid(o.{owner}) FROM {catalog} o,
  LATERAL pg_identify_object('{catalog}'::regclass, o.oid, 0) i
WHERE o.oid >= {_FIRST} AND i.schema IS DISTINCT FROM 'pg_catalog' AND {_free(catalog, "o.oid")}
"""


_OWNERS: Final[tuple[LiteralString, ...]] = (
    f"""
SELECT 'owner', {_RELATION} || ' ' || format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner)
FROM {_RELATIONS} AND NOT {_LINKED}
""",
    f"""
SELECT 'owner', {_ROUTINE} || ' ' || p.oid::regprocedure, pg_get_userbyid(p.proowner) FROM {_ROUTINES}
""",
    f"""
SELECT 'owner', CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END || ' ' || format_type(t.oid, NULL),
  pg_get_userbyid(t.typowner) FROM {_TYPES}
""",
    f"""
SELECT 'owner', 'schema ' || quote_ident(n.nspname), pg_get_userbyid(n.nspowner) FROM pg_namespace n
WHERE {_OURS} AND {_free("pg_namespace", "n.oid")}
""",
    """
SELECT 'owner', 'large object ' || m.oid, pg_get_userbyid(m.lomowner) FROM pg_largeobject_metadata m
WHERE m.lomowner <> (SELECT datdba FROM pg_database WHERE datname = current_database())
""",
    "SELECT 'owner', 'publication ' || quote_ident(p.pubname), pg_get_userbyid(p.pubowner) FROM pg_publication p",
    _owners("pg_collation", "collowner"),
    _owners("pg_conversion", "conowner"),
    _owners("pg_operator", "oprowner"),
    _owners("pg_opclass", "opcowner"),
    _owners("pg_opfamily", "opfowner"),
    _owners("pg_statistic_ext", "stxowner"),
    _owners("pg_ts_config", "cfgowner"),
    _owners("pg_ts_dict", "dictowner"),
    _owners("pg_foreign_server", "srvowner"),
)


_GRANT: Final[LiteralString] = """json_build_array(CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee) END,
  g.privilege_type, g.is_grantable, pg_get_userbyid(g.grantor))::text"""
"""To whom (null: everybody), which privilege, whether it may be passed on, and by whom it was given."""


def _granted(
    source: LiteralString, name: LiteralString, acl: LiteralString, owner: LiteralString, kind: LiteralString
) -> LiteralString:
    return f"""
SELECT 'grant', o.name, {_GRANT}
FROM (SELECT {name} AS name, coalesce({acl}, acldefault({kind}, {owner})) AS acl FROM {source}) o,
  LATERAL aclexplode(o.acl) g
"""


_GRANTS: Final[tuple[LiteralString, ...]] = (
    _granted(
        _RELATIONS + " AND c.relkind NOT IN ('c')",
        _RELATION + " || ' ' || format('%I.%I', n.nspname, c.relname)",
        "c.relacl",
        "c.relowner",
        """CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char" """,
    ),
    f"""
SELECT 'grant', {_RELATION} || format(' %I.%I (%I)', n.nspname, c.relname, a.attname), {_GRANT}
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
  LATERAL aclexplode(a.attacl) g
WHERE {_OURS} AND {_KINDS} AND NOT a.attisdropped AND {_free("pg_class", "c.oid")}
""",
    _granted(_ROUTINES, _ROUTINE + " || ' ' || p.oid::regprocedure", "p.proacl", "p.proowner", "'f'"),
    _granted(
        _TYPES,
        "CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END || ' ' || format_type(t.oid, NULL)",
        "t.typacl",
        "t.typowner",
        "'T'",
    ),
    _granted(
        f"pg_namespace n WHERE {_OURS} AND {_free('pg_namespace', 'n.oid')}",
        "'schema ' || quote_ident(n.nspname)",
        "n.nspacl",
        "n.nspowner",
        "'n'",
    ),
    _granted("pg_database d WHERE d.datname = current_database()", "'database'", "d.datacl", "d.datdba", "'d'"),
    f"""
SELECT 'grant', 'large object ' || m.oid, {_GRANT}
FROM pg_largeobject_metadata m, LATERAL aclexplode(m.lomacl) g
""",
)

_SIGNED: Final[LiteralString] = """json_build_array(CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END,
  x.privilege_type, x.is_grantable)::text"""
_USUAL: Final[LiteralString] = """CASE WHEN d.defaclnamespace = 0
  THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char", d.defaclrole)
  ELSE '{}'::aclitem[] END"""
_DEFAULT: Final[LiteralString] = """json_build_array(pg_get_userbyid(d.defaclrole),
  (SELECT n.nspname FROM pg_namespace n WHERE n.oid = d.defaclnamespace), d.defaclobjtype)::text"""

_SAID: Final[tuple[LiteralString, ...]] = (
    # What ALTER DEFAULT PRIVILEGES adds to PostgreSQL's own, and what it takes away.
    f"""
SELECT 'default grant', {_DEFAULT}, '+' || {_SIGNED} FROM pg_default_acl d, LATERAL (
  SELECT grantee, privilege_type, is_grantable FROM aclexplode(d.defaclacl)
  EXCEPT SELECT grantee, privilege_type, is_grantable FROM aclexplode({_USUAL})) x
UNION ALL
SELECT 'default grant', {_DEFAULT}, '-' || {_SIGNED} FROM pg_default_acl d, LATERAL (
  SELECT grantee, privilege_type, is_grantable FROM aclexplode({_USUAL})
  EXCEPT SELECT grantee, privilege_type, is_grantable FROM aclexplode(d.defaclacl)) x
""",
    f"""
SELECT 'comment', i.type || ' ' || i.identity, s.description FROM pg_description s,
  LATERAL pg_identify_object(s.classoid, s.objoid, s.objsubid) i
WHERE (s.objoid >= {_FIRST} OR (s.classoid = 'pg_namespace'::regclass AND i.name = 'public'))
  AND i.schema IS DISTINCT FROM 'pg_catalog' AND i.type <> 'extension'
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = s.classoid AND e.objid = s.objoid AND e.deptype = 'e')
""",
    """
SELECT 'label', l.provider || ' on ' || l.objtype || ' ' || l.objname, l.label FROM pg_seclabels l
WHERE l.objtype NOT IN ('role', 'database', 'tablespace')
""",
    """
SELECT 'setting', coalesce(r.rolname::text, ''), u.setting
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole,
  LATERAL unnest(s.setconfig) AS u (setting)
WHERE d.datname = current_database()
""",
    """
SELECT 'database', p.key, p.value FROM pg_database d, LATERAL (VALUES
  ('owner', pg_get_userbyid(d.datdba)::text), ('encoding', pg_encoding_to_char(d.encoding)::text),
  ('collate', d.datcollate::text), ('ctype', d.datctype::text),
  ('locale provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')),
  ('locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')),
  ('ICU rules', to_jsonb(d) ->> 'daticurules'), ('collation version', to_jsonb(d) ->> 'datcollversion'),
  ('connection limit', d.datconnlimit::text),
  ('tablespace', (SELECT spcname::text FROM pg_tablespace WHERE oid = d.dattablespace)),
  ('comment', shobj_description(d.oid, 'pg_database'))
) AS p (key, value)
WHERE d.datname = current_database() AND p.value IS NOT NULL
""",
)

QUERIES: Final[tuple[LiteralString, ...]] = (*_OBJECTS, *_MORE, *_OWNERS, *_GRANTS, *_SAID)
SLOTS: Final[LiteralString] = """SELECT slot_name::text FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database() ORDER BY 1"""
