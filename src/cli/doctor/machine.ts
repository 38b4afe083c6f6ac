/** What the doctor finds about this machine, this Node.js and the packages. */
import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { type Copy, copiesOfGrpc, copiesOfThisPackage, protoLoaderFrom } from './copies.js';
import { type Finding, note, ok, problem } from './finding.js';

/** Below it, one busy server uses up the table of open files. */
const FEW_DESCRIPTORS = 1024;
const SMALL_BACKLOG = 128;

export async function examineMachine(): Promise<Finding[]> {
  return [
    platform(),
    ...(process.platform === 'linux' ? [kernel()] : []),
    node(),
    self(),
    ...ownCopies(),
    await addon(),
    ...grpcCopies(),
    protoLoader(),
    ...(process.platform === 'linux' ? [openFiles(), backlog(), passRights()] : []),
    proxyVariables(),
  ];
}

function platform(): Finding {
  const text = `${process.platform}-${process.arch}`;
  const isSupported = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  return isSupported
    ? ok('platform', text)
    : problem(
        'platform',
        `${text}: calls pass through, and no descriptor travels`,
        'run it on Linux on x64 or arm64',
      );
}

function kernel(): Finding {
  if (isKernel(5, 6)) return ok('kernel', release());
  return note(
    'kernel',
    release(),
    'ReceivedFile.openIn() and openFile({ beneath }) need openat2 of Linux 5.6',
  );
}

function isKernel(major: number, minor: number): boolean {
  const [has = 0, hasMinor = 0] = release().split('.').map(Number);
  return has > major || (has === major && hasMinor >= minor);
}

function node(): Finding {
  const other = ['bun', 'deno'].find((name) => process.versions[name] !== undefined);
  if (other !== undefined) {
    return problem('Node.js', `this is ${other}`, 'run it with Node.js 20.19, 22.12 or later');
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isSupported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  return isSupported
    ? ok('Node.js', process.version)
    : problem('Node.js', `${process.version} is too old`, 'install Node.js 20.19, 22.12 or later');
}

function self(): Finding {
  const root = join(__dirname, '../..');
  // In the repository, this file lies one folder deeper than the one file of the package.
  for (const folder of [root, join(root, '..')]) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (name === 'grpcfd') return ok('grpcfd', `${version}, ${folder}`);
    } catch {
      // There is none.
    }
  }
  return note('grpcfd', 'its package.json was not found');
}

/** Each copy works alone. */
function ownCopies(): Finding[] {
  const copies = copiesOfThisPackage();
  if (copies.length < 2) return [];
  const text = `${copies.length} copies, of which a call can use one:\n${listOf(copies)}`;
  const todo = 'npm ls grpcfd tells who brings each. Have one copy for all: "overrides" in package.json';
  return [note('copies', text, todo)];
}

const listOf = (copies: readonly Copy[]) =>
  copies.map(({ version, folder }) => `${version}, ${folder}`).join('\n');

async function addon(): Promise<Finding> {
  try {
    await import('../../socket/index.js');
  } catch (error) {
    const [text = '', ...todo] = (error as Error).message.split('\n').map((line) => line.trim());
    return problem('addon', text, todo.join(' ') || 'reinstall the package');
  }
  const file = mappedAddon();
  return file === undefined ? note('addon', 'none is used on this platform') : ok('addon', `loaded: ${file}`);
}

/** The file of the addon that is mapped into this process. */
function mappedAddon(): string | undefined {
  const { GRPCFD_ADDON: chosen } = process.env;
  if (chosen !== undefined && chosen !== '') return `${chosen}, named by GRPCFD_ADDON`;
  try {
    return /\/.*grpcfd\.node$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  } catch {
    return process.platform === 'linux' ? 'its file is unknown without /proc' : undefined;
  }
}

function grpcCopies(): Finding[] {
  const copies = copiesOfGrpc();
  const subject = 'grpc-js';
  if (copies.length === 0) {
    return [problem(subject, '@grpc/grpc-js is not installed', 'npm install @grpc/grpc-js')];
  }
  const text = listOf(copies);
  const old = copies.some(({ version }) => {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    return major < 1 || (major === 1 && minor < 13);
  });
  if (old) return [problem(subject, text, 'npm install @grpc/grpc-js@^1.13.0')];
  if (copies.length === 1) return [ok(subject, text)];
  return [
    problem(
      subject,
      `${copies.length} copies, whose classes differ:\n${text}`,
      'npm ls @grpc/grpc-js tells who brings each. Have one copy for all: "overrides" in package.json',
    ),
  ];
}

function protoLoader(): Finding {
  const file = protoLoaderFrom();
  return file === undefined
    ? note('proto-loader', 'not installed', 'grpcfd call needs it: npm install @grpc/proto-loader')
    : ok('proto-loader', file);
}

function openFiles(): Finding {
  const [, soft = '', hard = ''] =
    /^Max open files +(\S+) +(\S+)/m.exec(contentOf('/proc/self/limits')) ?? [];
  const text = `${soft} at most (hard limit ${hard}), ${readdirSync('/proc/self/fd').length} in use by this process`;
  return Number(soft) <= FEW_DESCRIPTORS
    ? note('RLIMIT_NOFILE', text, 'ulimit -n 65536 for a server, or LimitNOFILE= of systemd')
    : ok('RLIMIT_NOFILE', text);
}

function backlog(): Finding {
  const text = contentOf('/proc/sys/net/core/somaxconn').trim();
  if (text === '') return note('somaxconn', 'unknown');
  return Number(text) <= SMALL_BACKLOG
    ? note(
        'somaxconn',
        text,
        'connects wait when so many do: sysctl net.core.somaxconn=4096 where many clients start at once',
      )
    : ok('somaxconn', text);
}

function passRights(): Finding {
  return ok(
    'SO_PASSRIGHTS',
    isKernel(6, 16)
      ? 'this kernel lets a socket refuse descriptors; with an address, the doctor tries whether it does'
      : 'this kernel has no such option, so no socket can refuse descriptors with it',
  );
}

function proxyVariables(): Finding {
  const names = ['grpc_proxy', 'https_proxy', 'http_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'GRPC_PROXY'];
  const set = names.filter((name) => (process.env[name] ?? '') !== '');
  if (set.length === 0) return ok('http_proxy', 'not set');
  return note(
    'http_proxy',
    `${set.join(', ')} set: grpc-js asks that proxy for TCP targets. Unix sockets never go through it`,
    "in a bundle, where it cannot be switched off, give the channel option 'grpc.enable_http_proxy': 0",
  );
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
