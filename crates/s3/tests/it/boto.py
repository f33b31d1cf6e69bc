"""What boto3 can ask of the endpoint at ENDPOINT, which has the empty buckets `inbox` and `other`."""
import base64
import hashlib
import http.client
import io
import os
import urllib.parse
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
MIB = 1024 * 1024
s3 = boto3.client("s3", endpoint_url=ENDPOINT, config=Config(signature_version="s3v4", retries={"max_attempts": 1}))


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"], str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert code in found, (code, error.response)
        return error.response
    raise AssertionError(f"not refused: {code}")


def read(key, **arguments):
    return s3.get_object(Bucket="inbox", Key=key, **arguments)["Body"].read()


# Objects and what belongs to them.
key = "Ordner mit Leerzeichen/Grüße.2024.final (1) +&=%25.mp4"
put = s3.put_object(
    Bucket="inbox", Key=key, Body=b"0123456789", ContentType="video/mp4", CacheControl="max-age=5",
    ContentDisposition="inline", ContentLanguage="de", Metadata={"titel": "x y", "mtime": "1.5"},
)
assert put["ETag"] == '"%s"' % hashlib.md5(b"0123456789").hexdigest()
head = s3.head_object(Bucket="inbox", Key=key)
assert (head["ContentLength"], head["ContentType"], head["CacheControl"]) == (10, "video/mp4", "max-age=5")
assert (head["ContentDisposition"], head["ContentLanguage"]) == ("inline", "de")
assert head["Metadata"] == {"titel": "x y", "mtime": "1.5"}, head
assert head["ETag"] == put["ETag"] and "AcceptRanges" in head
assert read(key) == b"0123456789"
s3.put_object(Bucket="inbox", Key="empty", Body=b"")
assert read("empty") == b""
refused("NoSuchKey", s3.get_object, Bucket="inbox", Key="none")
refused("404", s3.head_object, Bucket="inbox", Key="none")
refused("NoSuchBucket", s3.get_object, Bucket="no-such-bucket", Key="none")
refused("NoSuchBucket", s3.put_object, Bucket="no-such-bucket", Key="none", Body=b"x")
refused("KeyTooLongError", s3.put_object, Bucket="inbox", Key="x" * 1025, Body=b"x")
refused("MetadataTooLarge", s3.put_object, Bucket="inbox", Key="x", Body=b"x", Metadata={"x": "y" * 9000})

# Ranges.
part = s3.get_object(Bucket="inbox", Key=key, Range="bytes=2-4")
assert (part["Body"].read(), part["ContentRange"], part["ResponseMetadata"]["HTTPStatusCode"]) == (b"234", "bytes 2-4/10", 206)
assert read(key, Range="bytes=7-") == b"789" and read(key, Range="bytes=-2") == b"89" and read(key, Range="bytes=8-99") == b"89"
refused("InvalidRange", s3.get_object, Bucket="inbox", Key=key, Range="bytes=10-")

# Conditions.
etag = put["ETag"]
assert read(key, IfMatch=etag) == b"0123456789"
refused("304", s3.get_object, Bucket="inbox", Key=key, IfNoneMatch=etag)
refused("304", s3.get_object, Bucket="inbox", Key=key, IfModifiedSince=head["LastModified"])
refused("PreconditionFailed", s3.get_object, Bucket="inbox", Key=key, IfMatch='"x"')
refused("412", s3.head_object, Bucket="inbox", Key=key, IfMatch='"x"')
refused("PreconditionFailed", s3.put_object, Bucket="inbox", Key=key, Body=b"new", IfNoneMatch="*")
refused("PreconditionFailed", s3.put_object, Bucket="inbox", Key=key, Body=b"new", IfMatch='"x"')
assert read(key) == b"0123456789"
s3.put_object(Bucket="inbox", Key=key, Body=b"new", IfMatch=etag)
s3.put_object(Bucket="inbox", Key="first", Body=b"1", IfNoneMatch="*")
assert read(key) == b"new"

# Checksums, in the head and after the body.
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket="inbox", Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm)
    told = s3.head_object(Bucket="inbox", Key="sum", ChecksumMode="ENABLED")
    assert told["Checksum" + algorithm], told
crc = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
s3.put_object(Bucket="inbox", Key="sum", Body=b"hello", ChecksumCRC32=crc)
refused("BadDigest", s3.put_object, Bucket="inbox", Key="sum", Body=b"hellO", ChecksumCRC32=crc)
refused("BadDigest", s3.put_object, Bucket="inbox", Key="sum", Body=b"x", ContentMD5=base64.b64encode(bytes(16)).decode())
refused("InvalidDigest", s3.put_object, Bucket="inbox", Key="sum", Body=b"x", ContentMD5="rubbish")
assert read("sum") == b"hello"

credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])


def send(method, path, body, headers, context=None, sent=None):
    """Signs for one body and sends another."""
    request = AWSRequest(method, ENDPOINT + path, headers=dict(headers), data=body)
    request.context.update(context or {})
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(urllib.parse.urlparse(ENDPOINT).netloc)
    connection.request(method, path, body=body if sent is None else sent, headers=dict(request.headers))
    response = connection.getresponse()
    return response.status, response.read().decode()


signed = {"payload_signing_enabled": True}
assert send("PUT", "/inbox/tampered", b"right", {}, signed)[0] == 200
status, said = send("PUT", "/inbox/tampered", b"right", {}, signed, sent=b"wrong")
assert status == 400 and "SHA256Mismatch" in said, said
assert read("tampered") == b"right"


def trailing(body, crc):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:3], body[3:]))
    return chunks + b"0\r\nx-amz-checksum-crc32:" + crc.encode() + b"\r\n\r\n"


late = {"checksum": {"request_algorithm": {"in": "trailer", "algorithm": "crc32", "name": "x-amz-checksum-crc32"}}}
for body, code in [(b"hello", 200), (b"hellO", 400)]:
    headers = {
        "Content-Encoding": "aws-chunked", "X-Amz-Trailer": "x-amz-checksum-crc32",
        "X-Amz-Decoded-Content-Length": "5",
    }
    status, said = send("PUT", "/inbox/late", trailing(body, crc), headers, late)
    assert status == code and (code == 200 or "BadDigest" in said), (status, said)
assert read("late") == b"hello"
assert "ContentEncoding" not in s3.head_object(Bucket="inbox", Key="late")

# Listings.
names = sorted(["l/a", "l/a/", "l/a/b", "l/a b", "l/ä", "l/日本", "l/x\x01y", "l/a+b", "l/z/1", "l/z/2"], key=lambda n: n.encode())
for name in names:
    s3.put_object(Bucket="other", Key=name, Body=name.encode())
for limit in [1, 3, 1000]:
    for operation in ["list_objects_v2", "list_objects"]:
        pages = s3.get_paginator(operation).paginate(Bucket="other", Prefix="l/", PaginationConfig={"PageSize": limit})
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == names, operation
        pages = list(s3.get_paginator(operation).paginate(Bucket="other", Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": limit}))
        assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["l/a/", "l/z/"], pages
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == [n for n in names if n.count("/") == 1]
assert [item["Key"] for item in s3.list_objects_v2(Bucket="other", StartAfter="l/z/1")["Contents"]] == [n for n in names if n > "l/z/1"]
assert s3.list_objects_v2(Bucket="other", MaxKeys=0)["KeyCount"] == 0
refused("InvalidArgument", s3.list_objects_v2, Bucket="other", ContinuationToken="***")
for name in names:
    assert s3.get_object(Bucket="other", Key=name)["Body"].read() == name.encode()
deleted = s3.delete_objects(Bucket="other", Delete={"Objects": [{"Key": name} for name in names if "\x01" not in name]})
assert len(deleted["Deleted"]) == len(names) - 1 and "Errors" not in deleted
s3.delete_object(Bucket="other", Key="l/x\x01y")
assert s3.list_objects_v2(Bucket="other")["KeyCount"] == 0

# Copies.
s3.copy_object(Bucket="other", Key="copy of ü", CopySource={"Bucket": "inbox", "Key": key})
assert s3.get_object(Bucket="other", Key="copy of ü")["Body"].read() == b"new"
s3.put_object(Bucket="inbox", Key="typed", Body=b"x", ContentType="text/plain", Metadata={"a": "b"})
s3.copy_object(Bucket="other", Key="typed", CopySource="inbox/typed")
assert s3.head_object(Bucket="other", Key="typed")["Metadata"] == {"a": "b"}
s3.copy_object(Bucket="inbox", Key="typed", CopySource="inbox/typed", MetadataDirective="REPLACE", ContentType="text/html")
changed = s3.head_object(Bucket="inbox", Key="typed")
assert (changed["ContentType"], changed["Metadata"]) == ("text/html", {})
refused("PreconditionFailed", s3.copy_object, Bucket="inbox", Key="c", CopySource="inbox/typed", CopySourceIfMatch='"x"')
refused("NoSuchKey", s3.copy_object, Bucket="inbox", Key="c", CopySource="inbox/none")

# Uploads in parts.
big = os.urandom(12 * MIB + 5)
config = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB)
s3.upload_fileobj(io.BytesIO(big), "inbox", "big Ü", ExtraArgs={"ContentType": "video/mp4"}, Config=config)
found = s3.get_object(Bucket="inbox", Key="big Ü")
assert found["Body"].read() == big and found["ContentType"] == "video/mp4"
digests = b"".join(hashlib.md5(big[at : at + 5 * MIB]).digest() for at in range(0, len(big), 5 * MIB))
assert found["ETag"] == '"%s-3"' % hashlib.md5(digests).hexdigest(), found["ETag"]

upload = {"Bucket": "inbox", "Key": "by hand", "UploadId": s3.create_multipart_upload(Bucket="inbox", Key="by hand")["UploadId"]}
one = s3.upload_part_copy(PartNumber=1, CopySource={"Bucket": "inbox", "Key": "big Ü"}, CopySourceRange=f"bytes=1-{5 * MIB}", **upload)
two = s3.upload_part(PartNumber=2, Body=b"end", **upload)
assert [part["PartNumber"] for part in s3.list_parts(**upload)["Parts"]] == [1, 2]
first = s3.list_parts(MaxParts=1, **upload)
assert first["IsTruncated"] and first["NextPartNumberMarker"] == 1
assert [u["Key"] for u in s3.list_multipart_uploads(Bucket="inbox")["Uploads"]] == ["by hand"]
refused("NoSuchUpload", s3.upload_part, PartNumber=1, Body=b"x", Bucket="inbox", Key="other key", UploadId=upload["UploadId"])
refused("InvalidPart", s3.complete_multipart_upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"%s"' % ("0" * 32)}]}, **upload)
parts = [{"PartNumber": 1, "ETag": one["CopyPartResult"]["ETag"]}, {"PartNumber": 2, "ETag": two["ETag"]}]
refused("InvalidPartOrder", s3.complete_multipart_upload, MultipartUpload={"Parts": parts[::-1]}, **upload)
s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
assert read("by hand") == big[1 : 5 * MIB + 1] + b"end"
refused("NoSuchUpload", s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **upload)
upload["UploadId"] = s3.create_multipart_upload(Bucket="inbox", Key="by hand")["UploadId"]
s3.upload_part(PartNumber=1, Body=b"x", **upload)
refused("PreconditionFailed", s3.complete_multipart_upload, IfNoneMatch="*", MultipartUpload={"Parts": [{"PartNumber": 1}]}, **upload)
s3.abort_multipart_upload(**upload)
refused("NoSuchUpload", s3.list_parts, **upload)
assert "Uploads" not in s3.list_multipart_uploads(Bucket="inbox")

# Buckets.
s3.create_bucket(Bucket="a-new.one")
refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket="a-new.one")
assert s3.head_bucket(Bucket="a-new.one")["BucketRegion"] == "us-east-1"
assert s3.get_bucket_location(Bucket="a-new.one")["LocationConstraint"] is None
s3.put_object(Bucket="a-new.one", Key="x", Body=b"x")
refused("BucketNotEmpty", s3.delete_bucket, Bucket="a-new.one")
s3.delete_object(Bucket="a-new.one", Key="x")
s3.delete_bucket(Bucket="a-new.one")
refused("404", s3.head_bucket, Bucket="a-new.one")
refused("NotImplemented", s3.get_bucket_lifecycle_configuration, Bucket="inbox")
refused("NotImplemented", s3.put_object_tagging, Bucket="inbox", Key="first", Tagging={"TagSet": []})

# Clients whose clock is wrong.
import datetime
import unittest.mock

import botocore.auth

later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=16)
with unittest.mock.patch("botocore.auth.get_current_datetime", return_value=later.replace(tzinfo=None)):
    refused("RequestTimeTooSkewed", s3.get_object, Bucket="inbox", Key="first")
print("all done")
