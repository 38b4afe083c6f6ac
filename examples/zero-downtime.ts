// A web server is replaced by its next release twice, while it is under load. See zero-downtime/README.md.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './handover/handover.js';
import { Load, TalkingClient } from './zero-downtime/load.js';

const RELEASES = 3;
const REQUESTS_OF_A_RELEASE = 1_000;

const address = `unix:${join(temporaryDirectory(), 'handover.sock')}`;
const program = fileURLToPath(new URL('./zero-downtime/release.js', import.meta.url));

/** Resolves when the release serves. The one before it stops by itself. */
async function start(
  release: number,
): Promise<{ child: ChildProcess; exited: Promise<unknown[]>; port: number }> {
  const child = fork(program, [String(release), address]);
  const exited = once(child, 'exit');
  const [port] = await Promise.race([
    once(child, 'message'),
    exited.then(() => Promise.reject(new Error('it ended'))),
  ]);
  return { child, exited, port };
}

const first = await start(1);
const all = [first];
const load = new Load(first.port);
const talk = await TalkingClient.connect(first.port);
for (let release = 1; release <= RELEASES; release++) {
  if (release > 1) all.push(await start(release));
  await load.answeredBy(release, REQUESTS_OF_A_RELEASE);
  await talk.answeredBy(release);
}
const { failed } = await load.stop();
talk.end();
all.at(-1)?.child.send('stop');
const codes = await Promise.all(all.map(({ exited }) => exited));

for (const [release, count] of load.answers) console.log(`release ${release} answered ${count} requests`);
console.log(`${failed} requests failed`);
console.log(
  `the live connection was answered by the releases ${talk.releases.join(', ')}, and lost ${talk.lost} of its messages`,
);
console.log(`the releases ended with the codes ${codes.map(([code]) => code).join(', ')}`);
if (failed > 0 || talk.lost > 0) process.exitCode = 1;
