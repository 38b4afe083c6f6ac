#!/usr/bin/env node
/** `npx grpcfd`: what is on the command line, and how the process ends. A command is loaded when it is used. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { quotePeerText } from '../error-text.js';
import { Failure, oneLine, packageMissing, usage } from './failure.js';
import { HELP } from './help.js';
import { noteInherited } from './inherited.js';
import { flushed, styleOf } from './terminal.js';

/** As a shell reports a process that ended because nobody reads what it prints. */
const NOBODY_READS = 141;
const INTERNAL = 70;

type Command = (args: readonly string[]) => Promise<number>;

async function commandOf(name: string): Promise<Command> {
  switch (name) {
    case 'call':
      return (await import('./call/call.js')).call;
    case 'proxy':
      return (await import('./proxy/proxy.js')).proxy;
    case 'doctor':
      return (await import('./doctor/doctor.js')).doctor;
    default:
      throw usage(`there is no command ${quotePeerText(name)}: see grpcfd --help`);
  }
}

async function run([name, ...args]: readonly string[]): Promise<number> {
  const wantsHelp = (arg: string | undefined) => arg === '--help' || arg === '-h';
  if (name === undefined) throw usage('a command is missing: call, proxy or doctor. See grpcfd --help');
  if (name === '--version' || name === '-V') {
    const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8'));
    console.log(version);
    return 0;
  }
  if (wantsHelp(name) || name === 'help') {
    console.log(HELP[args[0] as keyof typeof HELP] ?? HELP.grpcfd);
    return 0;
  }
  const command = await commandOf(name);
  // What follows -- is no option.
  const options = args.slice(0, args.includes('--') ? args.indexOf('--') : args.length);
  if (options.some(wantsHelp)) {
    console.log(HELP[name as keyof typeof HELP]);
    return 0;
  }
  return command(args);
}

function isWithoutGrpc(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'MODULE_NOT_FOUND' && message.includes("'@grpc/grpc-js'");
}

async function main(): Promise<void> {
  noteInherited();
  for (const output of [process.stdout, process.stderr]) {
    output.on('error', () => process.exit(NOBODY_READS));
  }
  process.once('beforeExit', () => {
    // Without this, it would look like success.
    process.stderr.write('grpcfd: internal error: the command waits for nothing\n');
    process.exit(INTERNAL);
  });
  let code: number;
  try {
    code = await run(process.argv.slice(2));
  } catch (thrown) {
    const error = isWithoutGrpc(thrown) ? packageMissing('@grpc/grpc-js') : thrown;
    const { red } = styleOf(process.stderr);
    process.stderr.write(`${red('grpcfd:')} ${oneLine(error)}\n`);
    code = error instanceof Failure ? error.exitCode : INTERNAL;
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

void main();
