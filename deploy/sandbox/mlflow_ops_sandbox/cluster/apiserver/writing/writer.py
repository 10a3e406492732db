"""What happens to an object that is written: prepared, admitted, checked, stored.

Everything that is refused is refused before anything is stored. A dry run goes all the way but for the storing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.answers import with_kind
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError, already_exists, bad_request, conflict, group_resource
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission, give_name
from mlflow_ops_sandbox.cluster.apiserver.patches.applying import apply
from mlflow_ops_sandbox.cluster.apiserver.patches.field_sets import fields_of
from mlflow_ops_sandbox.cluster.apiserver.patches.managers import (
    Entry,
    Manager,
    entries_of,
    record_update,
    write_entries,
)
from mlflow_ops_sandbox.cluster.apiserver.schema.decoding import Decoder, DecodingError
from mlflow_ops_sandbox.cluster.apiserver.schema.types import root_type
from mlflow_ops_sandbox.cluster.apiserver.validation.rules import validate
from mlflow_ops_sandbox.cluster.apiserver.writing.bodies import bare, decode_object, parse_yaml, place
from mlflow_ops_sandbox.cluster.apiserver.writing.options import WriteOptions
from mlflow_ops_sandbox.cluster.apiserver.writing.patching import patched
from mlflow_ops_sandbox.cluster.apiserver.writing.preparing import complete_create, prepare_create, prepare_update

_CREATED = 201
_BEFORE_FIRST_APPLY = "before-first-apply"


@dataclass(frozen=True, slots=True)
class Writer:
    """Creates and changes objects."""

    store: Store
    clock: Clock
    admission: Admission

    def create(self, target: Target, body: Object, options: WriteOptions) -> Object:
        """Create an object. Raises ApiError 400, 403, 404, 409, 422."""
        resource = target.resource
        item = decode_object(body, resource, root_type(resource), options)
        place(target, item)
        if item["metadata"].pop("resourceVersion", None):
            raise bad_request("resourceVersion should not be set on objects to be created")
        return self._create(resource, item, options, Manager(options.manager, "Update", resource.api_version))

    def replace(self, target: Target, body: Object, options: WriteOptions) -> Object:
        """Put an object in the place of the one that is there. Raises ApiError 400, 404, 409, 422."""
        given = decode_object(body, target.resource, root_type(target.resource), options)
        place(target, given)
        return self._change(target, self._live(target), given, options)

    def patch(self, target: Target, body: bytes, content_type: str, options: WriteOptions) -> Object:
        """Patch an object. Raises ApiError 400, 404, 409, 415, 422."""
        live = self._live(target)
        given = patched(with_kind(target.resource, live), body, content_type, root_type(target.resource), options)
        place(target, given)
        return self._change(target, live, given, options)

    def apply(self, target: Target, body: bytes, options: WriteOptions) -> tuple[Object, int]:
        """Apply an object (server-side). Returns it and 201 or 200. Raises ApiError 400, 409, 422, 500."""
        resource = target.resource
        given = self._applied(target, body)
        manager = Manager(options.manager, "Apply", resource.api_version)
        live = self.store.find(resource, target.namespace, target.name)
        kind, now = root_type(resource), to_rfc3339(self.clock())
        if live is None:
            empty: Object = {"metadata": {}}
            made = apply(empty, given, kind, manager, now=now, force=options.force)
            return self._create(resource, made, options, None), _CREATED
        _require_same(resource, live, given)
        owned = _with_owner(resource, live)
        after = apply(owned, {**given, "metadata": _told(given)}, kind, manager, now=now, force=options.force)
        fields = after["metadata"].get("managedFields")
        prepare_update(resource, live, after)
        if fields:
            after["metadata"]["managedFields"] = fields
        validate(resource, after, live)
        self.admission.change(resource, after)
        if _without_managers(after) == _without_managers(live) and _owners(after) == _owners(live):
            return live, 200
        return self.keep(target, live, after, options), 200

    def keep(self, target: Target, before: Object, after: Object, options: WriteOptions) -> Object:
        """Store what an object has become and return it; an object that only waited for finalizers goes."""
        resource = target.resource
        if options.dry_run:
            if resource.has_generation and target.subresource != "status" and _intent(before) != _intent(after):
                after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
            return after

        def change(item: Object) -> None:
            item.clear()
            item.update(after)

        intent = target.subresource != "status"
        kept = self.store.update(resource, namespace_of(before), name_of(before), change, intent=intent)
        metadata = kept["metadata"]
        if is_terminating(kept) and not metadata.get("finalizers") and before["metadata"].get("finalizers"):
            return self.store.delete(resource, namespace_of(kept), name_of(kept))
        return kept

    def _create(self, resource: Resource, item: Object, options: WriteOptions, manager: Manager | None) -> Object:
        fields = item["metadata"].get("managedFields")
        prepare_create(self.store, resource, item)
        self.admission.open(resource, item)
        give_name(item)
        complete_create(resource, item)
        validate(resource, item)
        self.admission.close(resource, item)
        if self.store.find(resource, namespace_of(item), name_of(item)) is not None:
            raise already_exists(resource, name_of(item))
        if manager is not None:
            record_update({"metadata": {}}, item, root_type(resource), manager, to_rfc3339(self.clock()))
        elif fields:
            item["metadata"]["managedFields"] = fields
        if options.dry_run:
            item["metadata"]["creationTimestamp"] = to_rfc3339(self.clock())
            if resource.has_generation:
                item["metadata"]["generation"] = 1
            return item
        made = self.store.create(resource, item)
        if resource == kinds.NAMESPACES:
            self._furnish(name_of(made))
        return made

    def _change(self, target: Target, live: Object, given: Object, options: WriteOptions) -> Object:
        resource = target.resource
        _require_same(resource, live, given)
        after = copy.deepcopy(given)
        prepare_update(resource, live, after)
        # A client may edit who owns what; kubectl does when it turns from client-side apply to server-side.
        fields = [entry for entry in given["metadata"].get("managedFields") or () if entry.get("operation")]
        if fields:
            after["metadata"]["managedFields"] = fields
        validate(resource, after, live)
        self.admission.change(resource, after)
        manager = Manager(options.manager, "Update", resource.api_version)
        record_update(live, after, root_type(resource), manager, to_rfc3339(self.clock()))
        return self.keep(target, live, after, options)

    def _live(self, target: Target) -> Object:
        return self.store.get(target.resource, target.namespace, target.name)

    def _applied(self, target: Target, body: bytes) -> Object:
        parsed = parse_yaml(body)
        if (parsed.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        resource = target.resource
        version = parsed.get("apiVersion")
        if version != resource.api_version:
            raise bad_request(
                "incorrect version specified in apply patch. "
                f"Specified patch version: {version or ''}, expected: {resource.api_version}"
            )
        decoder = Decoder(converter=True)
        about = f"{target.namespace}/{target.name}; {resource.api_version}, Kind={resource.kind}"
        refused = f"failed to create typed patch object ({about}): "
        if parsed.get("kind") != resource.kind:
            gvk = f"{resource.api_version}, Kind={parsed.get('kind') or ''}"
            raise ApiError(500, "InternalError", f"{refused}no corresponding type for {gvk}")
        try:
            item = decoder.decode(parsed, root_type(resource))
        except DecodingError as problem:
            raise ApiError(500, "InternalError", refused + str(problem)) from None
        if decoder.unknown:
            fields = "\n".join(f".{path}: field not declared in schema" for path in decoder.unknown)
            raise ApiError(500, "InternalError", refused + fields)
        item = bare(item)
        place(target, item)
        return item

    def _furnish(self, namespace: str) -> None:
        """Give a new namespace what controllers would: its service account, and the authority's certificate."""
        metadata = {"name": "default", "namespace": namespace}
        self.store.create(kinds.SERVICE_ACCOUNTS, {"metadata": metadata})
        root = self.store.find(kinds.CONFIG_MAPS, "default", "kube-root-ca.crt")
        if root is not None:
            metadata = {"name": name_of(root), "namespace": namespace}
            self.store.create(kinds.CONFIG_MAPS, {"metadata": metadata, "data": root["data"]})


def _require_same(resource: Resource, live: Object, given: Object) -> None:
    """Raise ApiError 409 unless what was sent is of the object, and of the version, that there is."""
    metadata = given["metadata"]
    if metadata.get("uid") and metadata["uid"] != uid_of(live):
        error = conflict(resource, name_of(live))
        error.message = (
            f'Operation cannot be fulfilled on {group_resource(resource)} "{name_of(live)}": Precondition failed: '
            f"UID in precondition: {metadata['uid']}, UID in object meta: {uid_of(live)}"
        )
        raise error
    version = metadata.get("resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        raise conflict(resource, name_of(live))


def _with_owner(resource: Resource, live: Object) -> Object:
    """Return a copy of an object whose fields have an owner, as the first apply finds it."""
    after = copy.deepcopy(live)
    if not entries_of(live):
        kept = {key: value for key, value in live.items() if key != "status"}
        manager = Manager(_BEFORE_FIRST_APPLY, "Update", resource.api_version)
        fields = set(fields_of(kept, root_type(resource)))
        write_entries(after, [Entry(manager, fields, live["metadata"].get("creationTimestamp", ""))])
    return after


def _told(given: Object) -> Object:
    return {key: value for key, value in given["metadata"].items() if key not in {"uid", "resourceVersion"}}


def _without_managers(item: Object) -> Object:
    return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key != "managedFields"}}


def _owners(item: Object) -> list[tuple[Manager, frozenset[tuple[str, ...]]]]:
    return [(entry.manager, frozenset(entry.fields)) for entry in entries_of(item)]


def _intent(item: Object) -> Object:
    return {key: value for key, value in item.items() if key not in {"metadata", "status"}}
