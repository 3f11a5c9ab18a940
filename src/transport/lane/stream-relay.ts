/** Carries the bytes of streams between lanes and the main thread. */
import type { LaneEvent, Us } from '../../core/lane/contract.ts';
import type { DrivenLane } from './driven-lane.ts';
import {
  ABANDON,
  CONSUMED,
  DATA,
  END,
  ENDED,
  FREE,
  type FromThread,
  ITEM_VALUES,
  ItemQueue,
  OPEN,
  RECYCLE,
  RECYCLED_BYTES,
  RESET,
  SENT,
  STREAM,
  type StreamItems,
  WAS_RESET,
  WRITE,
} from './thread-messages.ts';

export class StreamRelay {
  private readonly lanes: ReadonlyMap<number, DrivenLane>;
  private readonly post: (message: FromThread, transfer: ArrayBuffer[]) => void;
  private readonly fail: (driven: DrivenLane, error: unknown) => void;
  private readonly queue = new ItemQueue();
  /** Of the queue: bytes that came or went, whether somebody waits for any of it, and since when it is held. */
  private heldBytes = 0;
  private urgent = false;
  /** It holds nothing but word of what was sent, and there is enough left to send. */
  private canWait = true;
  private heldSinceUs: Us = Infinity;

  constructor(
    lanes: ReadonlyMap<number, DrivenLane>,
    post: (message: FromThread, transfer: ArrayBuffer[]) => void,
    fail: (driven: DrivenLane, error: unknown) => void,
  ) {
    this.lanes = lanes;
    this.post = post;
    this.fail = fail;
  }

  handleItems(items: StreamItems): void {
    for (let i = 0; i < items.length; i += ITEM_VALUES) {
      const driven = this.lanes.get(items[i + 1] as number);
      // A lane that is closed has told so; what was under way to it is void.
      if (!driven || driven.closed) continue;
      try {
        this.handleItem(driven, items[i] as number, items[i + 2] as number, items[i + 3] as number | Uint8Array);
      } catch (error) {
        this.fail(driven, error);
      }
    }
  }

  private handleItem(driven: DrivenLane, operation: number, stream: number, value: number | Uint8Array): void {
    const { lane } = driven;
    switch (operation) {
      case OPEN:
        if (lane.openStream() !== stream) throw new Error('The two threads number streams differently.');
        break;
      case WRITE:
        lane.write(stream, value as Uint8Array);
        break;
      case END:
        lane.end(stream);
        break;
      case RESET:
        lane.reset(stream);
        driven.abandoned.delete(stream);
        break;
      case CONSUMED:
        lane.consumed(stream, value as number);
        break;
      case RECYCLE:
        lane.recycle(value as Uint8Array);
        break;
      case ABANDON:
        driven.abandoned.add(stream);
        break;
    }
  }

  handleEvent(driven: DrivenLane, event: Extract<LaneEvent, { id: number }>): void {
    const { id } = event;
    if (driven.abandoned.has(id)) {
      // The peer gets no credit for what nobody reads, and so stops by itself.
      if (event.type === 'end' || event.type === 'reset') driven.abandoned.delete(id);
      return;
    }
    if (event.type === 'free') this.giveBack(driven, event.memory);
    else if (event.type === 'sent') {
      this.heldBytes += event.bytes;
      this.canWait &&= driven.lane.sendableBytes >= PLENTY_BYTES;
      this.queue.add(SENT, driven.key, id, event.bytes);
    } else if (event.type === 'data') {
      this.heldBytes += event.bytes.length;
      this.canWait = false;
      // What is short may be a request or an answer, and what nothing follows the end of one.
      this.urgent ||= event.bytes.length < BULK_BYTES || !driven.lane.expectsMore;
      this.queue.addBytes(DATA, driven.key, id, ownBytes(event.bytes, event.exclusive));
    } else {
      this.urgent = true;
      this.queue.add(EVENTS[event.type], driven.key, id, 0);
    }
  }

  private giveBack(driven: DrivenLane, { buffer }: Uint8Array): void {
    // What is small is not worth the way back.
    if (buffer.byteLength >= RECYCLED_BYTES) this.queue.addBytes(FREE, driven.key, 0, new Uint8Array(buffer));
  }

  /** Tells the main thread, or lets content wait for more of it: waking that thread costs more than a block. Returns when it is due. */
  flush(nowUs: Us, atOnce: boolean): Us {
    if (this.queue.empty) return Infinity;
    if (this.heldSinceUs === Infinity) this.heldSinceUs = nowUs;
    const times = this.canWait ? WAIT_TIMES : 1;
    const untilUs = this.heldSinceUs + times * LONGEST_HOLD_US;
    if (!atOnce && !this.urgent && this.heldBytes < times * MOST_HELD_BYTES && nowUs < untilUs) return untilUs;
    this.heldBytes = 0;
    this.urgent = false;
    this.canWait = true;
    this.heldSinceUs = Infinity;
    this.queue.flush(this.post);
    return Infinity;
  }
}

/** Bytes whose buffer can be handed over: those of others, and a few in a large buffer, are copied. */
function ownBytes(bytes: Uint8Array, exclusive: boolean): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  if (exclusive && buffer instanceof ArrayBuffer && 2 * bytes.length >= buffer.byteLength)
    return bytes as Uint8Array<ArrayBuffer>;
  return new Uint8Array(bytes);
}

/** No full block of a fast path is smaller. */
const BULK_BYTES = 64 * 1024;
/** A quarter of what a socket writes ahead (lane-socket.ts), and little against the credit of a stream. */
const MOST_HELD_BYTES = 256 * 1024;
const LONGEST_HOLD_US = 20_000;
/** Half of what waits in the thread at least (lane-link.ts): the main thread is not needed for a while. */
const PLENTY_BYTES = 2 << 20;
const WAIT_TIMES = 2;
const EVENTS = { stream: STREAM, end: ENDED, reset: WAS_RESET } as const;
