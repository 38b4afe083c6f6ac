/** What the proxy prints, as a line for people or as JSON. */
import { oneLine } from '../failure.js';
import { toJson } from '../json.js';
import { boundedWriter, type Style, styleOf } from '../terminal.js';

export type Direction = 'to server' | 'to client';

interface OfDescriptor {
  readonly direction: Direction;
  /** The number of the descriptor among all of this connection and direction, from 1. */
  readonly number: number;
}

interface OfCall {
  readonly call: number;
  readonly method: string;
}

export type ProxyEvent =
  | { readonly event: 'open'; readonly peer: string }
  | { readonly event: 'protocol'; readonly protocol: string }
  | ({ readonly event: 'call' } & OfCall)
  | ({ readonly event: 'end'; readonly status: string; readonly details?: string } & OfCall)
  | ({
      readonly event: 'descriptor';
      readonly kind: string;
      readonly access: string;
      readonly path: string;
      readonly inode: string;
    } & OfDescriptor)
  | ({
      readonly event: 'named';
      readonly name: string;
      readonly where: 'metadata' | 'message';
    } & OfDescriptor &
      OfCall)
  | ({ readonly event: 'trouble'; readonly trouble: string } & Partial<OfDescriptor> & Partial<OfCall>)
  | { readonly event: 'close'; readonly bytesToServer: number; readonly bytesToClient: number };

export type Print = (connection: number, event: ProxyEvent) => void;

/** Prints on stdout. What cannot be printed for now is left out beyond a bound, and a line tells how much that was. */
export function printer(json: boolean): Print {
  const style = styleOf(process.stdout);
  const lineOf = json
    ? (connection: number, event: ProxyEvent) => toJson({ connection, ...event })
    : (connection: number, event: ProxyEvent) => styled(style, connection, event);
  const write = boundedWriter(process.stdout, (count) =>
    lineOf(0, {
      event: 'trouble',
      trouble: `${count} lines are left out here: they came faster than they were read`,
    }),
  );
  return (connection, event) => write(lineOf(connection, event));
}

function styled(style: Style, connection: number, event: ProxyEvent): string {
  // Ends choose texts. So all of them pass through here, and none can be forgotten where a line is made.
  const text = textOf(withPrintableTexts(event));
  if (event.event === 'trouble') return style.red(`! #${connection} ${text}`);
  const line = `${style.dim(`#${connection}`)} ${text}`;
  return `  ${event.event === 'call' || event.event === 'end' ? style.bold(line) : line}`;
}

function withPrintableTexts(event: ProxyEvent): ProxyEvent {
  const printable = ([name, value]: [string, unknown]) => [
    name,
    typeof value === 'string' ? oneLine(value) : value,
  ];
  return Object.fromEntries(Object.entries(event).map(printable)) as ProxyEvent;
}

function textOf(event: ProxyEvent): string {
  switch (event.event) {
    case 'open':
      return `open, ${event.peer}`;
    case 'protocol':
      return event.protocol;
    case 'call':
      return `call ${event.call} ${event.method}`;
    case 'end':
      return `call ${event.call} ${event.method} ended: ${[event.status, event.details ?? ''].filter((text) => text !== '').join(', ')}`;
    case 'descriptor':
      return `${arrow(event)} ${event.kind} (${event.access}) ${event.path} ${event.inode}`;
    case 'named':
      return `${arrow(event)} is ${event.name} in the ${event.where} of call ${event.call} ${event.method}`;
    case 'trouble': {
      const of =
        event.number !== undefined && event.direction !== undefined
          ? `${arrow({ direction: event.direction, number: event.number })} `
          : '';
      const call = event.call === undefined ? '' : `call ${event.call} ${event.method ?? ''}: `;
      return `${call}${of}${event.trouble}`;
    }
    case 'close':
      return `closed, ${event.bytesToServer} bytes to the server, ${event.bytesToClient} bytes to the client`;
  }
}

function arrow({ direction, number }: OfDescriptor): string {
  return direction === 'to server' ? `→ fd ${number}` : `← fd ${number}`;
}
