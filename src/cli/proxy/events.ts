/** What the proxy prints, as a line for people or as JSON. */
import { oneLine } from '../failure.js';
import { toJson } from '../json.js';
import { styleOf } from '../terminal.js';

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

export function printer(json: boolean): Print {
  if (json) {
    return (connection, event) => console.log(toJson({ connection, ...event }));
  }
  const style = styleOf(process.stdout);
  return (connection, event) => {
    const line = `${style.dim(`#${connection}`)} ${textOf(event)}`;
    if (event.event === 'trouble') console.log(style.red(`! #${connection} ${textOf(event)}`));
    else if (event.event === 'call' || event.event === 'end') console.log(`  ${style.bold(line)}`);
    else console.log(`  ${line}`);
  };
}

function textOf(event: ProxyEvent): string {
  switch (event.event) {
    case 'open':
      return `open, ${event.peer}`;
    case 'protocol':
      return event.protocol;
    case 'call':
      return `call ${event.call} ${oneLine(event.method)}`;
    case 'end':
      return `call ${event.call} ${oneLine(event.method)} ended: ${[event.status, oneLine(event.details ?? '')].filter((text) => text !== '').join(', ')}`;
    case 'descriptor':
      return `${arrow(event)} ${event.kind} (${event.access}) ${oneLine(event.path)} ${event.inode}`;
    case 'named':
      return `${arrow(event)} is ${event.name} in the ${event.where} of call ${event.call} ${oneLine(event.method)}`;
    case 'trouble': {
      const of =
        event.number !== undefined && event.direction !== undefined
          ? `${arrow({ direction: event.direction, number: event.number })} `
          : '';
      const call = event.call === undefined ? '' : `call ${event.call} ${oneLine(event.method ?? '')}: `;
      return `${call}${of}${oneLine(event.trouble)}`;
    }
    case 'close':
      return `closed, ${event.bytesToServer} bytes to the server, ${event.bytesToClient} bytes to the client`;
  }
}

function arrow({ direction, number }: OfDescriptor): string {
  return direction === 'to server' ? `→ fd ${number}` : `← fd ${number}`;
}
