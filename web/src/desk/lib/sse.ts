// SPDX-License-Identifier: Apache-2.0 OR MIT

/** One server-sent event. */
export interface ServerEvent {
  id: string;
  event: string;
  data: string;
}

/** Longest event that is put together; the rest of the stream is refused. */
const MAX_EVENT_CHARACTERS = 1 << 20;

/** Takes text in any pieces and gives whole events (HTML Standard §9.2.6). */
export class SseReader {
  private rest = '';
  private id = '';
  private event = '';
  private data: string[] = [];
  private size = 0;

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    if (this.rest.length > MAX_EVENT_CHARACTERS) throw new Error('an event is too long');
    for (const line of lines) {
      if (line !== '') this.line(line);
      else if (this.data.length > 0) events.push({ id: this.id, event: this.event || 'message', data: this.data.join('\n') });
      if (line === '') {
        this.data = [];
        this.event = '';
        this.size = 0;
      }
    }
    return events;
  }

  private line(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'id') this.id = value;
    else if (name === 'event') this.event = value;
    else if (name === 'data') {
      this.size += value.length;
      if (this.size > MAX_EVENT_CHARACTERS) throw new Error('an event is too long');
      this.data.push(value);
    }
  }
}

/** Events of a body, until it ends; one that is silent for so long is given up. */
export async function* eventsOf(body: ReadableStream<Uint8Array>, silenceMs: number, abort: AbortController): AsyncGenerator<ServerEvent> {
  const text = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader();
  const reader = new SseReader();
  for (;;) {
    const dead = setTimeout(() => abort.abort(), silenceMs);
    const { value, done } = await text.read().finally(() => clearTimeout(dead));
    if (done) return;
    yield* reader.push(value);
  }
}
