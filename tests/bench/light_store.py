"""As much of S3 as copying between two buckets takes, at a small cost for each call, with everything counted.

moto spends some 2 ms of CPU on a call, on the same machine as the client that is to be measured, so with it every
client is about as fast as moto. A real store's work is done elsewhere. This one keeps sizes and digests of artifacts
only, and answers after `DELAY_SECONDS`, as a store in the same network would.
"""

import asyncio
import bisect
import hashlib
import sys
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

DELAY_SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 0.005
PAGE = 1000


class Bucket:
    def __init__(self):
        self.objects = {}
        self.order = []
        self.sorted = True

    def put(self, key, size, etag):
        if key not in self.objects:
            self.sorted = self.sorted and (not self.order or self.order[-1] < key)
            self.order.append(key)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.objects[key] = (size, etag, moment)

    def page(self, prefix, after):
        if not self.sorted:
            self.order.sort()
            self.sorted = True
        at = max(bisect.bisect_right(self.order, after), bisect.bisect_left(self.order, prefix))
        found = [key for key in self.order[at : at + PAGE + 1] if key.startswith(prefix)]
        return found[:PAGE], len(found) > PAGE


class Store:
    def __init__(self):
        self.buckets = {}
        self.bodies = {}
        self.counts = Counter()

    async def handle(self, request):
        bucket_name, _, key = unquote(request.raw_path.partition("?")[0][1:]).partition("/")
        if bucket_name == "_":
            return self.control(key, request.query)
        bucket = self.buckets.setdefault(bucket_name, Bucket())
        body = await request.read()
        await asyncio.sleep(DELAY_SECONDS)
        return getattr(self, request.method.lower())(request, bucket, key, body)

    def control(self, order, query):
        if order == "seed":
            bucket = self.buckets.setdefault(query["bucket"], Bucket())
            for n in range(int(query["objects"])):
                etag = hashlib.md5(str(n).encode()).hexdigest()
                bucket.put(f"{n % 7}/{n // 20:032x}/artifacts/model/file-{n % 20:04}.bin", int(query["size"]), etag)
        elif order == "forget":
            self.buckets.pop(query["bucket"], None)
        counted = dict(self.counts)
        self.counts.clear()
        return web.json_response(counted)

    def put(self, request, bucket, key, body):
        source = request.headers.get("x-amz-copy-source")
        if source is None:
            etag = hashlib.md5(body).hexdigest()
            bucket.put(key, len(body), etag)
            self.bodies[id(bucket), key] = body
            self.counts["PutObject"] += 1
            return web.Response(headers={"ETag": f'"{etag}"'})
        name, _, from_key = unquote(source).lstrip("/").partition("/")
        size, etag, moment = self.buckets[name].objects[from_key]
        bucket.put(key, size, etag)
        self.counts["CopyObject"] += 1
        self.counts["bytes copied"] += size
        return xml(
            f"<CopyObjectResult><LastModified>{moment}</LastModified><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>"
        )

    def get(self, request, bucket, key, _body):
        if key:
            self.counts["GetObject"] += 1
            return self.send(request, bucket, key)
        query = request.query
        self.counts["ListObjectsV2"] += 1
        after = query.get("continuation-token") or query.get("start-after", "")
        if query.get("delimiter"):
            return self.folders(bucket, query.get("prefix", ""))
        keys, more = bucket.page(query.get("prefix", ""), after)
        rows = []
        for found in keys:
            size, etag, moment = bucket.objects[found]
            rows.append(
                f"<Contents><Key>{quote(found, safe='/')}</Key><LastModified>{moment}</LastModified>"
                f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        return xml(
            f"<ListBucketResult><EncodingType>url</EncodingType><KeyCount>{len(keys)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(rows)}</ListBucketResult>"
        )

    def folders(self, bucket, prefix):
        """All of them on one page: artifacts stand under few experiments."""
        found = {key[: key.index("/", len(prefix)) + 1] for key in bucket.objects if key.startswith(prefix)}
        rows = "".join(
            f"<CommonPrefixes><Prefix>{quote(each, safe='/')}</Prefix></CommonPrefixes>" for each in sorted(found)
        )
        return xml(
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        )

    def head(self, request, bucket, key, _body):
        self.counts["HeadObject"] += 1
        return self.send(request, bucket, key)

    def send(self, request, bucket, key):
        body = self.bodies.get((id(bucket), key))
        if body is None or key not in bucket.objects:
            return xml("<Error><Code>NoSuchKey</Code></Error>", 404)
        headers = {"ETag": f'"{bucket.objects[key][1]}"', "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}
        wanted = request.headers.get("Range", "")
        if wanted.startswith("bytes=-"):
            body = body[-int(wanted.removeprefix("bytes=-")) :]
        return web.Response(body=body, headers=headers, status=206 if wanted else 200)

    def post(self, _request, _bucket, _key, _body):
        self.counts["DeleteObjects"] += 1
        return xml("<DeleteResult></DeleteResult>")

    def delete(self, _request, bucket, key, _body):
        self.counts["DeleteObject"] += 1
        bucket.objects.pop(key, None)
        return web.Response(status=204)


def xml(body, status=200):
    return web.Response(
        text=f"<?xml version='1.0' encoding='UTF-8'?>{body}", content_type="application/xml", status=status
    )


if __name__ == "__main__":
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{tail:.*}", Store().handle)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
