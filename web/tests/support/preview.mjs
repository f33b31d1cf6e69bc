// SPDX-License-Identifier: Apache-2.0 OR MIT
// A live stream for the preview of the desk: a test picture that ffmpeg makes once, in a playlist that slides by the clock.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const SEGMENT_SECONDS = 2;
const TOTAL_SEGMENTS = 30;
/** Segments in the playlist, and those that are out when it is first asked for. */
const WINDOW_SEGMENTS = 6;

/** Makes the media; answers with what serves it to `FakeDesk.media`, and how to remove it. */
export async function makePreview() {
  const folder = await mkdtemp(join(tmpdir(), 'anabranch-preview-'));
  const seconds = SEGMENT_SECONDS * TOTAL_SEGMENTS;
  await promisify(execFile)(
    'ffmpeg',
    [
      ...['-v', 'error', '-nostdin', '-f', 'lavfi', '-i', `testsrc2=size=960x540:rate=25:duration=${seconds}`],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-profile:v', 'baseline', '-g', '50', '-sc_threshold', '0'],
      ...['-f', 'hls', '-hls_time', String(SEGMENT_SECONDS), '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'],
      ...['-hls_fmp4_init_filename', 'init.mp4', '-hls_segment_filename', '%d.m4s', 'vod.m3u8'],
    ],
    { cwd: folder },
  );
  let began = null;
  const playlist = () => {
    began ??= Date.now();
    const out = Math.min(TOTAL_SEGMENTS, WINDOW_SEGMENTS + Math.floor((Date.now() - began) / 1000 / SEGMENT_SECONDS));
    const first = out - WINDOW_SEGMENTS;
    const at = (number) => new Date(began + (number - WINDOW_SEGMENTS) * SEGMENT_SECONDS * 1000).toISOString();
    const segments = Array.from({ length: WINDOW_SEGMENTS }, (_, n) => `#EXT-X-PROGRAM-DATE-TIME:${at(first + n)}\n#EXTINF:${SEGMENT_SECONDS},\n${first + n}.m4s`);
    return ['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`, `#EXT-X-MEDIA-SEQUENCE:${first}`, '#EXT-X-MAP:URI="init.mp4"', ...segments, ''].join('\n');
  };
  const multivariant = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1800000,RESOLUTION=960x540,FRAME-RATE=25,CODECS="avc1.42c01f"\nvideo.m3u8\n';
  return {
    /** Begins anew: the next playlist is the first. */
    rewind: () => (began = null),
    serve: async (path, response) => {
      const text = path === 'index.m3u8' ? multivariant : path === 'video.m3u8' ? playlist() : null;
      const body = text ?? (await readFile(join(folder, path)).catch(() => null));
      response.writeHead(body === null ? 404 : 200, { 'content-type': text ? 'application/vnd.apple.mpegurl' : 'video/mp4', 'cache-control': 'no-store' }).end(body);
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
