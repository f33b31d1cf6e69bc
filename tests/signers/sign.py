"""Signs with botocore. Standard input is a JSON list of orders, standard output the list of signed URLs.

botocore leaves the private-key operation to its user; `openssl` does it here, which signs with RSA and ECDSA alike.
"""

import datetime
import json
import subprocess
import sys

from botocore.signers import CloudFrontSigner


def moment(seconds):
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def signer(order):
    def sign(message):
        command = ["openssl", "dgst", "-sha1", "-sign", order["key"]]
        return subprocess.run(command, input=message, stdout=subprocess.PIPE, check=True).stdout

    return CloudFrontSigner(order["key_id"], sign)


def signed(order):
    made = signer(order)
    expires = moment(order["expires"])
    if not any(order.get(name) for name in ("resource", "starts", "ip")):
        return made.generate_presigned_url(order["url"], date_less_than=expires)
    policy = made.build_policy(
        order.get("resource") or order["url"],
        expires,
        date_greater_than=moment(order.get("starts")),
        ip_address=order.get("ip"),
    )
    return made.generate_presigned_url(order["url"], policy=policy)


json.dump([signed(order) for order in json.load(sys.stdin)], sys.stdout)
