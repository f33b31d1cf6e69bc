// SPDX-License-Identifier: Apache-2.0 OR MIT
// Prices of the stand-in control plane.

import type { components } from '../../src/api/schema.d.ts';

type S = components['schemas'];

/** The defaults of the server. */
const PRICES: [string, string, string, string, string, string][] = [
  ['cloud.encoder_input', 'encoder', 'live input, HD AVC, 10 to 20 Mbit/s, two pipelines', '0.294', 'hour', 'AWS guide "Live Streaming on AWS with Amazon S3", cost example 2, us-east-1, undated'],
  ['cloud.encoder_output', 'encoder', 'live output, HD AVC, below 10 Mbit/s, to 30 fps, two pipelines', '0.702', 'hour', 'AWS guide "Live Streaming on AWS with Amazon S3", cost example 2, us-east-1, undated'],
  ['cloud.packager_ingest', 'packager', 'packaged for the live stream', '0.03', 'GB', 'MediaPackage in the AWS Price List, us-east-1, 2026-09-18, as a public estimate gives it'],
  ['cloud.cdn_class_100', 'cdn', 'delivered from locations of PriceClass_100', '0.085', 'GB', 'configuration'],
  ['cloud.cdn_requests', 'cdn', 'requests by HTTPS', '0.01', '10 000 requests', 'CloudFront in the AWS Price List, United States, 2026-09-18, as a public estimate gives it'],
  ['cloud.storage', 'storage', 'kept, standard class', '0.023', 'GB-month', 'AWS guide "Live Streaming on AWS with Amazon S3", cost example 1, us-east-1, first 50 TB, undated'],
  ['cloud.conversion', 'conversion', 'output, basic tier, AVC, HD, to 30 fps, single pass', '0.015', 'minute', 'a default of ours after the published on-demand price; check it against your own bill'],
  ['own.machine_hour', 'encoder', 'a machine that takes in and packages one channel', '0.08', 'hour', 'assumption: 60 a month for a machine of 8 cores'],
  ['own.traffic', 'cdn', 'sent to viewers, 1 TB for 2', '0.002', 'GB', 'assumption: a port of 10 Gbit/s, a fifth in use'],
  ['own.disk', 'storage', 'kept twice on disks, 1 TB-month for 10', '0.01', 'GB-month', 'assumption: disks of 20 TB for 400, five years, kept twice'],
];

/** The table of prices, as the server tells it. */
export function prices(): S['PriceTable'] {
  const items = PRICES.map(([key, service, what, price, unit, source]): S['Price'] => ({ model: key.split('.')[0] ?? '', key: `prices.${key}`, service, what, price, unit, source }));
  return { currency: 'USD', model: 'cloud', items };
}
