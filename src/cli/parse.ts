import { type ParseArgsConfig, parseArgs } from 'node:util';
import { quotePeerText } from '../error-text.js';
import { usage } from './failure.js';

/** `parseArgs` of Node.js, whose complaints end the tool as a wrong command line does. */
export function parse<Options extends NonNullable<ParseArgsConfig['options']>>(
  command: string,
  args: readonly string[],
  options: Options,
): ReturnType<typeof parseArgs<{ options: Options; allowPositionals: true; strict: true }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // The text of Node.js goes on with advice that is for programs.
    const [text] = (error as Error).message.split('. ', 1);
    throw usage(`${text}: see grpcfd ${command} --help`);
  }
}

/** The unix address in `unix:path`, as `grpcfd/socket` takes it: a path, or an abstract name that starts with NUL. */
export function socketPath(address: string): string {
  const [, scheme, path = ''] = /^(unix|unix-abstract):(?:\/\/(?=\/))?(.+)$/s.exec(address) ?? [];
  if (scheme === undefined) {
    throw usage(`${quotePeerText(address)} is not an address: unix:PATH or unix-abstract:NAME`);
  }
  return scheme === 'unix' ? path : `\0${path}`;
}
