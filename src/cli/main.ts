#!/usr/bin/env node
/** `npx grpcfd`: what is on the command line, and how the process ends. A command is loaded when it is used. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { debuglog, inspect } from 'node:util';
import { quotePeerText } from '../error-text.js';
import { setTimeout } from '../timers.js';
import { DeadlinePassed } from './deadline-passed.js';
import { Failure, oneLine, packageMissing, usage } from './failure.js';
import { HELP } from './help.js';
import { noteInherited } from './inherited.js';
import { flushed, styleOf } from './terminal.js';

/** As a shell reports a process that ended because nobody reads what it prints. */
const NOBODY_READS = 141;
const INTERNAL = 70;
/** An exit code has eight bits. */
const NOT_A_CODE = 256;

/** What was printed before a deadline passed has this long to be read. */
const UNREAD_MS = 1000;

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
  if (!(error instanceof Error)) return false;
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'MODULE_NOT_FOUND' && message.includes("'@grpc/grpc-js'");
}

/** Tells of `thrown` in one line, and gives the exit code. */
function report(thrown: unknown): number {
  const error = isWithoutGrpc(thrown) ? packageMissing('@grpc/grpc-js') : thrown;
  const { red } = styleOf(process.stderr);
  const isExpected = error instanceof Failure && error.exitCode > 0 && error.exitCode < NOT_A_CODE;
  const text = isExpected ? oneLine(error) : `internal error: ${oneLine(error)}`;
  process.stderr.write(`${red('grpcfd:')} ${text}\n`);
  if (!isExpected && debuglog('grpcfd').enabled) process.stderr.write(`${inspect(thrown)}\n`);
  return isExpected ? error.exitCode : INTERNAL;
}

async function main(): Promise<void> {
  noteInherited();
  // Also what is thrown in a callback is told in one line. A promise that rejects unheard of comes here, too.
  process.on('uncaughtException', (error) => {
    const code = report(error);
    void flushed(process.stderr).then(() => process.exit(code));
  });
  for (const output of [process.stdout, process.stderr]) {
    output.on('error', () => process.exit(NOBODY_READS));
  }
  process.once('beforeExit', () => {
    // Without this, it would look like success.
    process.stderr.write('grpcfd: internal error: the command waits for nothing\n');
    process.exit(INTERNAL);
  });
  let code: number;
  let hasPassed = false;
  try {
    code = await run(process.argv.slice(2));
  } catch (thrown) {
    code = report(thrown);
    hasPassed = thrown instanceof DeadlinePassed;
  }
  const printed = Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  const late = new Promise((resolve) => {
    if (hasPassed) setTimeout(resolve, UNREAD_MS);
  });
  await Promise.race([printed, late]);
  process.exit(code);
}

void main();
