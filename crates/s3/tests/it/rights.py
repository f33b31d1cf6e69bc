"""Keys that may little, do not exist, or cannot be looked up. Arguments: id and secret of a key that may read the bucket `inbox`."""
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def client(key, secret):
    config = Config(signature_version="s3v4", retries={"max_attempts": 1})
    return boto3.client(
        "s3", endpoint_url=os.environ["ENDPOINT"], aws_access_key_id=key, aws_secret_access_key=secret, config=config
    )


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"not refused: {arguments}")


owner_id, owner_secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
reader = client(sys.argv[1], sys.argv[2])
assert reader.get_object(Bucket="inbox", Key="a")["Body"].read() == b"x"
assert [bucket["Name"] for bucket in reader.list_buckets()["Buckets"]] == ["inbox"]
refused("AccessDenied", reader.put_object, Bucket="inbox", Key="a", Body=b"y")
refused("AccessDenied", reader.delete_object, Bucket="inbox", Key="a")
refused("AccessDenied", reader.get_object, Bucket="other", Key="c")
refused("AccessDenied", reader.list_objects_v2, Bucket="other")
refused("AccessDenied", reader.create_bucket, Bucket="new-one")
refused("AccessDenied", reader.create_multipart_upload, Bucket="inbox", Key="x")

owner = client(owner_id, owner_secret)
assert owner.get_object(Bucket="recordings", Key="b")["Body"].read() == b"x"
refused("AccessDenied", owner.put_object, Bucket="recordings", Key="b", Body=b"y")
refused("AccessDenied", owner.delete_object, Bucket="recordings", Key="b")
refused("AccessDenied", owner.delete_bucket, Bucket="recordings")

refused("SignatureDoesNotMatch", client(owner_id, "wrong").get_object, Bucket="inbox", Key="a")
refused("InvalidAccessKeyId", client("AKIANOBODY", "x").get_object, Bucket="inbox", Key="a")
refused("ServiceUnavailable", client("AKIABROKEN", "x").get_object, Bucket="inbox", Key="a")
assert reader.get_object(Bucket="inbox", Key="a")["Body"].read() == b"x"
print("all done")
