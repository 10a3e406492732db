"""Point-in-time recovery: the server's changes (WAL) and base backups, kept under wal/ in the backups' bucket.

    wal/<system id>/point.json                                  up to when everything is there, by the server's clock
    wal/<system id>/history/<timeline>.history.zst
    wal/<system id>/<timeline>/<segment>.zst                    a whole segment
    wal/<system id>/<timeline>/<segment>.part/<from>-<to>.zst   bytes of the one that is still being written
    wal/<system id>/base/<time>-<id>/base.tar.zst               pg_basebackup's tar
    wal/<system id>/base/<time>-<id>/backup_manifest.zst        its manifest, for a base of what has changed since
    wal/<system id>/base/<time>-<id>/base.json                  what it is; written last: without it, no base

A segment's parts are removed once it is there whole. What is stored twice (by two processes for a moment, or again
after a kill) is the same bytes under the same key.
"""
