"""Versions, history and persistence of the store."""

import asyncio

import pytest

from mlflow_ops_sandbox.cluster.api.requests import parse_target
from mlflow_ops_sandbox.cluster.api.resources import CONFIG_MAPS, DEPLOYMENTS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import system_clock
from mlflow_ops_sandbox.cluster.apiserver.reading import Reader


def config_map(name, **data):
    return {"metadata": {"name": name, "namespace": "n"}, "data": data}


@pytest.fixture
def store():
    return Store()


def test_every_write_raises_one_counter(store):
    first = store.create(CONFIG_MAPS, config_map("a"))
    second = store.create(CONFIG_MAPS, config_map("b"))
    changed = store.update(CONFIG_MAPS, "n", "a", lambda item: item["data"].update(x="1"))
    versions = [int(item["metadata"]["resourceVersion"]) for item in (first, second, changed)]
    assert versions == sorted(set(versions))
    assert store.revision == versions[-1]


def test_an_update_that_changes_nothing_is_no_write(store):
    store.create(CONFIG_MAPS, config_map("a", x="1"))
    before = store.revision
    store.update(CONFIG_MAPS, "n", "a", lambda item: item["data"].update(x="1"))
    assert store.revision == before


def test_objects_that_were_handed_out_do_not_change(store):
    kept = store.create(CONFIG_MAPS, config_map("a", x="1"))
    store.update(CONFIG_MAPS, "n", "a", lambda item: item["data"].update(x="2"))
    assert kept["data"] == {"x": "1"}


def test_the_generation_follows_the_spec_only(store):
    store.create(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "n"}, "spec": {"replicas": 1}})
    store.update(DEPLOYMENTS, "n", "d", lambda item: item.update(status={"replicas": 1}))
    assert store.get(DEPLOYMENTS, "n", "d")["metadata"]["generation"] == 1
    store.update(DEPLOYMENTS, "n", "d", lambda item: item["spec"].update(replicas=2))
    assert store.get(DEPLOYMENTS, "n", "d")["metadata"]["generation"] == 2


def test_a_stale_version_is_a_conflict(store):
    made = store.create(CONFIG_MAPS, config_map("a"))
    store.update(CONFIG_MAPS, "n", "a", lambda item: item["data"].update(x="1"))
    with pytest.raises(ApiError, match="the object has been modified"):
        store.require_version(CONFIG_MAPS, "n", "a", made["metadata"]["resourceVersion"])


def test_names_are_taken_once(store):
    store.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(ApiError, match='configmaps "a" already exists'):
        store.create(CONFIG_MAPS, config_map("a"))


def test_the_list_of_an_earlier_revision_can_be_told(store):
    store.create(CONFIG_MAPS, config_map("a", x="1"))
    store.create(CONFIG_MAPS, config_map("b"))
    then = store.revision
    store.update(CONFIG_MAPS, "n", "a", lambda item: item["data"].update(x="2"))
    store.delete(CONFIG_MAPS, "n", "b")
    store.create(CONFIG_MAPS, config_map("c"))
    earlier = store.list_at(CONFIG_MAPS, "n", then)
    assert [(item["metadata"]["name"], item["data"]) for item in earlier] == [("a", {"x": "1"}), ("b", {})]


def test_history_is_bounded_and_too_old_is_410():
    store = Store(history=3)
    for name in "abcde":
        store.create(CONFIG_MAPS, config_map(name))
    assert [change.name for change in store.changes_after(2)] == ["c", "d", "e"]
    with pytest.raises(ApiError) as refused:
        store.changes_after(1)
    assert (refused.value.code, refused.value.reason) == (410, "Expired")


def test_pages_show_one_moment(store):
    for name in "abcd":
        store.create(CONFIG_MAPS, config_map(name))
    reader = Reader(store, system_clock)
    target = parse_target("GET", "/api/v1/namespaces/n/configmaps", {})
    first = reader.page(target, {"limit": "2"}, "")
    assert first["metadata"]["remainingItemCount"] == 2
    store.delete(CONFIG_MAPS, "n", "c")
    store.create(CONFIG_MAPS, config_map("e"))
    second = reader.page(target, {"limit": "2", "continue": first["metadata"]["continue"]}, "")
    assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
    assert "continue" not in second["metadata"]


def test_a_page_that_is_too_old_is_410_with_a_way_on(store):
    for name in "abcd":
        store.create(CONFIG_MAPS, config_map(name))
    reader = Reader(store, system_clock)
    target = parse_target("GET", "/api/v1/namespaces/n/configmaps", {})
    token = reader.page(target, {"limit": "2"}, "")["metadata"]["continue"]
    store.compacted = store.revision + 1
    store.revision += 1
    with pytest.raises(ApiError, match="The provided continue parameter is too old") as refused:
        reader.page(target, {"limit": "2", "continue": token}, "")
    assert refused.value.code == 410
    rest = reader.page(target, {"continue": refused.value.to_object()["metadata"]["continue"]}, "")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]


def test_a_second_start_finds_everything(tmp_path):
    first = Store(tmp_path / "cluster.db")
    made = first.create(CONFIG_MAPS, config_map("a", x="1"))
    first.create(CONFIG_MAPS, config_map("b"))
    first.delete(CONFIG_MAPS, "n", "b")
    revision = first.revision
    first.close()
    second = Store(tmp_path / "cluster.db")
    assert second.all(CONFIG_MAPS) == [made]
    assert second.revision == revision
    with pytest.raises(ApiError, match="too old resource version"):
        second.changes_after(revision - 1)


def test_waiting_for_a_write():
    async def scene():
        store = Store()
        waiting = asyncio.create_task(store.wait_beyond(store.revision))
        await asyncio.sleep(0)
        assert not waiting.done()
        store.create(CONFIG_MAPS, config_map("a"))
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scene())
