"""The menu of sets is filled by whatever is at the bucket anyway, before anybody asks for a list."""

from workers.operations.backup import seen, sets
from workers.operations.backup.backup import Backup
from workers.operations.health import backup as health
from workers.operations.health.questions import Asking


def offered(ready):
    return [each.id for each in seen.known(ready.redis)[1]]


def test_a_backup_and_a_look_at_health_fill_the_menu_where_redis_knows_none(systems, progress):
    ready = systems()
    there = []
    for _ in range(2):
        Backup(parts=("config",)).run(ready, progress)
        there.insert(0, sets.good(ready, "latest").id)
    ready.redis.delete(seen._SEEN)
    assert offered(ready) == []
    health.ask(Asking(ready, 30.0))
    assert offered(ready) == there
    ready.redis.delete(seen._SEEN)
    Backup(parts=("config",)).run(ready, progress)
    there.insert(0, sets.good(ready, "latest").id)
    assert offered(ready) == there
    Backup(parts=("config",)).run(ready, progress)
    assert offered(ready) == [sets.good(ready, "latest").id, *there]
