// How much longer a program takes to start with the package than with grpc-js alone. The time is printed and not judged: machines differ.
import { run } from './environment.mjs';
import { DOORS } from './exchange.mjs';
import { plainProject } from './projects.mjs';

const PAIRS = 25;

const PROGRAMS = {
  require: (names) => ['--eval', names.map((name) => `require('${name}');`).join('')],
  import: (names) => ['--input-type=module', '--eval', names.map((name) => `import '${name}';`).join('')],
};
/** From the start of the process to the end of the imports, without the time that the process takes to go. */
const PRINT = 'console.log(performance.now())';

async function time(door, names, cwd) {
  const program = PROGRAMS[door](names);
  const { stdout } = await run(process.execPath, [...program.slice(0, -1), `${program.at(-1)}${PRINT}`], {
    cwd,
  });
  return Number(stdout);
}

async function compare(door) {
  const cwd = await plainProject();
  const stock = [];
  const more = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const first = await time(door, ['@grpc/grpc-js'], cwd);
    const second = await time(door, ['@grpc/grpc-js', 'grpcfd'], cwd);
    stock.push(first);
    more.push(second - first);
  }
  const shown = [median(more), quantile(more, 0.25), quantile(more, 0.75)].map((ms) => ms.toFixed(1));
  const alone = `Node with grpc-js alone ${median(stock).toFixed(0)} ms`;
  return `${shown[0]} ms more than grpc-js alone (quartiles ${shown[1]} and ${shown[2]}), median of ${PAIRS} pairs; ${alone}`;
}

const median = (values) => quantile(values, 0.5);
const quantile = (values, part) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)];

export const rows = Object.keys(DOORS).map((door) => ({
  subject: 'start',
  environment: door,
  alone: true,
  work: () => compare(door),
}));
