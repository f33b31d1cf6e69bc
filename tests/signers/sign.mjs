// Signs with the signers of npm. Standard input is a JSON list of orders, standard output the list of what was made: a URL, or
// the cookies by name.

import { readFileSync } from "node:fs";

import * as sdk from "@aws-sdk/cloudfront-signer";
import small from "aws-cloudfront-sign";

const iso = (seconds) => (seconds == null ? undefined : new Date(seconds * 1000).toISOString());

// The SDK takes the text of a policy as it is: white space and the order of conditions are its caller's.
function policyText({ resource, expires, starts, ip }) {
  const condition = { DateLessThan: { "AWS:EpochTime": expires } };
  if (ip) condition.IpAddress = { "AWS:SourceIp": ip };
  if (starts != null) condition.DateGreaterThan = { "AWS:EpochTime": starts };
  return JSON.stringify({ Statement: [{ Resource: resource, Condition: condition }] }, null, 1);
}

function withSdk(order) {
  const base = { keyPairId: order.key_id, privateKey: readFileSync(order.key, "utf8"), algorithm: order.hash };
  const grant = order.resource
    ? { policy: policyText(order) }
    : { dateLessThan: iso(order.expires), dateGreaterThan: iso(order.starts), ipAddress: order.ip };
  if (order.form === "cookies") return sdk.getSignedCookies({ ...base, ...grant, url: order.url });
  return sdk.getSignedUrl({ ...base, ...grant, url: order.url });
}

// It knows no policy of one's own: a resource with wildcards is signed as if it were the URL.
function withSmall(order) {
  const options = {
    keypairId: order.key_id,
    privateKeyPath: order.key,
    expireTime: order.expires * 1000,
    ipRange: order.ip,
  };
  const sign = order.form === "cookies" ? small.getSignedCookies : small.getSignedUrl;
  return sign(order.resource ?? order.url, options);
}

const orders = JSON.parse(readFileSync(0, "utf8"));
const made = orders.map((order) => (order.signer === "sdk" ? withSdk(order) : withSmall(order)));
process.stdout.write(JSON.stringify(made));
