// npm run test:package [-- --short] [-- --only NAME] [-- --shard K/N] [-- --tarball FILE] [-- --markdown FILE]: installs the tarball into empty
// projects, and makes calls with a descriptor each way. It prints one table. Without --tarball it makes the tarball, and the addons that are
// missing for it. scripts/test-package/ has a file for each subject.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeTarball } from './test-package/make-tarball.mjs';
import { useTarball } from './test-package/projects.mjs';
import { ALL } from './test-package/rows.mjs';
import { asMarkdown, asText } from './test-package/table.mjs';
import { listOfFiles } from './test-package/tarball.mjs';

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    shard: { type: 'string', default: '1/1' },
    tarball: { type: 'string' },
    markdown: { type: 'string' },
  },
});
const [shard, shards] = values.shard.split('/').map(Number);
if (!(shard >= 1 && shard <= shards)) throw new Error(`--shard is K/N, not ${values.shard}`);

const chosen = ALL.filter(({ short }) => !values.short || short)
  .filter(
    ({ subject, environment }) =>
      values.only.length === 0 || values.only.some((name) => `${subject}: ${environment}`.includes(name)),
  )
  .filter((_row, index) => index % shards === shard - 1);
if (chosen.length === 0) throw new Error('no row has such a name');

if (values.tarball === undefined) await makeTarball();
else useTarball(values.tarball);
const start = performance.now();
const results = await resultsOf(chosen);
if (!values.short) console.log(await listOfFiles());
console.log(asText(results));
for (const { subject, environment, error } of results) {
  if (error !== undefined) console.log(`\n=== ${subject}: ${environment}\n${error.stack ?? error}`);
}
const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
console.log(`\n${Math.round((performance.now() - start) / 1000)} s`);
console.log(`${count('ok')} passed, ${count('failed')} failed`);
if (values.markdown !== undefined) writeFileSync(values.markdown, asMarkdown(results));
process.exitCode = count('failed') > 0 ? 1 : 0;

/** Two rows at a time: most of the time goes into waiting for installs. Rows that measure run alone, after all others. */
async function resultsOf(rows) {
  const found = new Map();
  const queue = rows.filter(({ alone }) => !alone);
  const worker = async () => {
    for (let row = queue.shift(); row !== undefined; row = queue.shift()) found.set(row, await resultOf(row));
  };
  await Promise.all([worker(), worker()]);
  for (const row of rows.filter(({ alone }) => alone)) found.set(row, await resultOf(row));
  return rows.map((row) => found.get(row));
}

async function resultOf({ subject, environment, work }) {
  let result;
  try {
    result = { outcome: 'ok', details: await work() };
  } catch (error) {
    result = { outcome: 'failed', details: String(error.message ?? error).split('\n', 1)[0], error };
  }
  console.log(`${result.outcome.padEnd(6)}  ${subject}: ${environment}: ${result.details}`);
  return { subject, environment, ...result };
}
