/** The command line of `grpcfd call`. */
import { quotePeerText } from '../../error-text.js';
import { usage } from '../failure.js';
import { parse, socketPath } from '../parse.js';
import { FLAGS, type SendSpec } from './sends.js';

const OPTIONS = {
  proto: { type: 'string', multiple: true, default: [] as string[] },
  include: { type: 'string', multiple: true, default: [] as string[] },
  'descriptor-set': { type: 'string' },
  reflection: { type: 'boolean', default: false },
  data: { type: 'string' },
  send: { type: 'string', multiple: true, default: [] as string[] },
  receive: { type: 'string', multiple: true, default: [] as string[] },
  url: { type: 'boolean', default: false },
  tls: { type: 'boolean', default: false },
  ca: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'server-name': { type: 'string' },
  deadline: { type: 'string' },
  metadata: { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** Where the messages are defined. */
export type Source =
  | { readonly kind: 'proto'; readonly files: readonly string[]; readonly include: readonly string[] }
  | { readonly kind: 'descriptor set'; readonly file: string }
  | { readonly kind: 'reflection' };

export interface ReceiveSpec {
  readonly field: string;
  /** A file, `-` for stdout, or undefined to describe what came. */
  readonly to: string | undefined;
}

export interface Tls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly serverName: string | undefined;
}

export interface CallArguments {
  readonly address: string;
  readonly service: string;
  readonly method: string;
  readonly source: Source;
  readonly data: string | undefined;
  readonly sends: readonly SendSpec[];
  readonly receives: readonly ReceiveSpec[];
  readonly byUrl: boolean;
  readonly tls: Tls | undefined;
  readonly deadlineMs: number | undefined;
  readonly metadata: readonly (readonly [key: string, value: string])[];
}

export function parseCall(args: readonly string[]): CallArguments {
  const { values, positionals } = parse('call', args, OPTIONS);
  const [address, name, ...more] = positionals;
  if (address === undefined || name === undefined || more.length > 0) {
    throw usage('call takes an address and a method: grpcfd call unix:/run/x.sock pkg.Service/Method');
  }
  socketPath(address); // A name would be looked up by DNS.
  const [, service = '', method = ''] = /^\/?([\w.]+)\/(\w+)$/.exec(name) ?? [];
  if (service === '') {
    throw usage(`${quotePeerText(name)} is not a method: write SERVICE/METHOD, as in pkg.Service/Method`);
  }
  const sends = values.send.map(parseSend);
  const takers = [
    ...(values.data === '-' ? ['--data'] : []),
    ...sends.filter(({ from }) => from === 'stdin'),
  ];
  if (takers.length > 1)
    throw usage('the standard input can be used once: by --data - or by one --send FIELD=-');
  return {
    address,
    service,
    method,
    source: sourceOf(values.proto, values.include, values['descriptor-set'], values.reflection),
    data: values.data,
    sends,
    receives: values.receive.map((spec) => {
      const [field = '', to] = cut(spec);
      if (field === '' || to === '') throw usage(`--receive takes FIELD, FIELD=FILE or FIELD=-, not ${spec}`);
      return { field, to };
    }),
    byUrl: values.url,
    tls: tlsOf(values.tls, values.ca, values.cert, values.key, values['server-name']),
    deadlineMs: values.deadline === undefined ? undefined : milliseconds(values.deadline),
    metadata: values.metadata.map((pair) => {
      const [key = '', value] = cut(pair);
      if (value === undefined) throw usage(`--metadata takes KEY=VALUE, not ${pair}`);
      return [key, value] as const;
    }),
  };
}

function sourceOf(
  files: readonly string[],
  include: readonly string[],
  descriptorSet: string | undefined,
  reflection: boolean,
): Source {
  const sources: Source[] = [
    ...(files.length > 0 ? [{ kind: 'proto', files, include } as const] : []),
    ...(descriptorSet === undefined ? [] : [{ kind: 'descriptor set', file: descriptorSet } as const]),
    ...(reflection ? [{ kind: 'reflection' } as const] : []),
  ];
  const [source] = sources;
  if (source === undefined || sources.length > 1) {
    throw usage('call takes one of --proto FILE, --descriptor-set FILE and --reflection');
  }
  return source;
}

function parseSend(spec: string): SendSpec {
  const [field = '', what = ''] = cut(spec);
  if (field === '' || what === '') throw usage(`--send takes FIELD=PATH, FIELD=fd:N or FIELD=-, not ${spec}`);
  if (what === '-') return { field, from: 'stdin', fd: 0 };
  const [, number] = /^fd:(\d+)$/.exec(what) ?? [];
  if (number !== undefined) return { field, from: 'fd', fd: Number(number) };
  // A path may have colons of its own.
  const colon = what.lastIndexOf(':');
  const flags = what.slice(colon + 1);
  if (colon <= 0 || !FLAGS.includes(flags)) return { field, from: 'path', path: what, flags: undefined };
  return { field, from: 'path', path: what.slice(0, colon), flags };
}

function tlsOf(
  wanted: boolean,
  ca: string | undefined,
  cert: string | undefined,
  key: string | undefined,
  serverName: string | undefined,
): Tls | undefined {
  if ((cert === undefined) !== (key === undefined)) throw usage('--cert and --key go together');
  const implied = [ca, cert, serverName].some((each) => each !== undefined);
  return wanted || implied ? { ca, cert, key, serverName } : undefined;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, '': 1000 };

function milliseconds(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|)$/.exec(text) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? Number.NaN);
  if (!(ms > 0)) throw usage(`--deadline takes a time such as 500ms, 5s or 2m, not ${text}`);
  return ms;
}

/** What stands before the first `=`, and what stands behind it. */
function cut(text: string): [string, string | undefined] {
  const at = text.indexOf('=');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
