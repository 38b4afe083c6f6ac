// Makes the charts in docs/charts and the tables of docs/performance.md from docs/charts/bench.json, the output of
// `npm run bench -- --json docs/charts/bench.json`.
//
//   node scripts/draw-charts.mjs [--check] [DOCS]
//
// --check writes nothing, and fails when a file is not what this script makes. DOCS is the directory, `docs` by default.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean' } },
  allowPositionals: true,
});
const docs = positionals[0] ?? fileURLToPath(new URL('../docs', import.meta.url));
const { machine, results } = JSON.parse(readFileSync(join(docs, 'charts/bench.json'), 'utf8'));

/** The result of that case. A case that measures several things has a result for each unit. */
function result(bench, name, unit) {
  const found = results.find(
    (each) => each.bench === bench && each.case === name && (unit === undefined || each.metric === unit),
  );
  if (found === undefined)
    throw new Error(`bench.json has no result "${bench}: ${name}", ${unit ?? 'any unit'}`);
  return found;
}

/** Three significant digits, or the whole number. */
function format(value) {
  if (value === null) return '';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

/** Two decimals: the next run differs by more than the third. */
function formatRatio(value) {
  if (value === null) return '';
  return value < 10 ? value.toFixed(2) : format(value);
}

// ---- What the page shows ----

const WORKLOADS = [
  { name: 'unary, 64 at a time', unit: 'calls/s' },
  { name: 'unary, 1 at a time', unit: 'µs' },
  { name: '1 MiB echo', unit: 'ms' },
  { name: '64 KiB messages down', unit: 'MiB/s' },
  { name: '64 KiB messages up', unit: 'MiB/s' },
];
const DESCRIPTORS = ['1 fd', '8 fds', '64 fds', '256 fds'].flatMap((count) => [
  `${count} to the server`,
  `${count} to the client`,
]);
const MESSAGES = [
  '1 fd to a message',
  '16 fds to a message',
  '64 fds to a message',
  '64 fds to a message, by node:fs',
];
const SIZES = ['1 MiB', '16 MiB', '256 MiB', '1 GiB'];
const LOADS = [
  { name: '100 connections', label: '100 connections' },
  { name: '1,000 connections', label: '1,000 connections' },
  { name: '2,000 connections', label: '2,000 connections' },
  { name: '2,000 connections and 10,000 held fds', label: 'and 10,000 held descriptors' },
  { name: 'all of that and 100,000 waits', label: 'and 100,000 waits' },
];
const SECURITIES = ['plain', 'TLS'];

const calls = (window) =>
  SECURITIES.flatMap((security) =>
    WORKLOADS.map(({ name, unit }) => ({
      label: security === 'TLS' ? `TLS: ${name}` : name,
      unit,
      result: result('overhead', `${name}, ${security}, ${window} window`),
    })),
  );

const TABLES = {
  machine: () => {
    const { cpu, cores, memoryGiB, kernel, node, grpcJs, date, load, loadAfter } = machine;
    return [
      ['measured', 'on'],
      ['date', date],
      ['processor', `${cpu}, ${cores} cores, ${memoryGiB} GiB`],
      ['system', `Linux ${kernel}, Node.js ${node}, grpc-js ${grpcJs}`],
      ['load average of the last minute, before and after', `${format(load)} and ${format(loadAfter)}`],
    ];
  },
  calls: () => ratioTable('stock grpc-js', calls('64 KiB')),
  descriptors: () => [
    [
      'descriptors in a call',
      'this package, fds/s',
      'Go, fds/s',
      'ratio to Go',
      'quartiles',
      'ratio to a call without',
    ],
    ...DESCRIPTORS.map((name) => {
      const go = result('handoff', `${name}, against Go`);
      return [
        name,
        format(go.ours),
        format(go.theirs),
        ...ratioCells(go),
        formatRatio(result('handoff', `${name}, against no fd`).ratio),
      ];
    }),
  ],
  payload: () => [
    [
      'payload',
      'stream, ms',
      'every page read, ms',
      'ratio',
      'in memory mapped before, ms',
      'ratio',
      'any byte, ms',
      'ratio',
    ],
    ...SIZES.map((size) => {
      const whole = result('payload', `${size}, every page`);
      const again = result('payload', `${size}, every page, mapped before`);
      const any = result('payload', `${size}, any byte`);
      return [
        size,
        format(whole.theirs),
        ...[whole, again, any].flatMap(({ ours, ratio }) => [format(ours), formatRatio(ratio)]),
      ];
    }),
  ],
  scale: () => [
    ['', 'a call: ratio', 'quartiles', 'a call with 1 descriptor: ratio', 'quartiles'],
    ...LOADS.map(({ name, label }) => [
      label,
      ...ratioCells(result('scale', `a call at ${name}`)),
      ...ratioCells(result('scale', `a call with 1 fd at ${name}`)),
    ]),
  ],
  costs: () => {
    const connection = 'each connection, from 1,000 to 2,000, against stock';
    const cost = (label, found) => [label, format(found.ours), format(found.theirs)];
    return [
      ['cost', 'this package', 'stock grpc-js'],
      cost('a connection: descriptors, both processes', result('scale', connection, 'fds of both processes')),
      cost(
        'a connection: memory of both processes, KiB',
        result('scale', connection, 'KiB of both processes'),
      ),
      cost('a connection with its first reply, 32 at a time, µs', result('scale', connection, 'µs')),
      cost('a connection with its first reply, 1 at a time, µs', result('start', 'connect to first reply')),
      cost(
        '1,000 idle connections: CPU time, ms/s (1 is the least that is told from none)',
        result('scale', '1,000 idle connections'),
      ),
      cost(
        'a held descriptor: memory of both processes, bytes',
        result('scale', 'each held fd, to 10,000', 'bytes of both processes'),
      ),
      cost('a receiver that waits: memory, bytes', result('scale', 'each wait, to 100,000', 'bytes')),
      cost(
        'import of grpc-js, with and without this package, ms',
        result('start', 'import of grpc-js, with this package and without'),
      ),
    ];
  },
  raw: () => [
    ['descriptors to a message', 'this package, fds/s', 'C, fds/s', 'ratio', 'quartiles'],
    ...MESSAGES.map((name) => {
      const found = result('limit', name);
      return [name, format(found.ours), format(found.theirs), ...ratioCells(found)];
    }),
  ],
  window: () => [
    ['', 'this package, 64 KiB', 'this package, 4 MiB', 'stock, 64 KiB', 'stock, 4 MiB'],
    ...calls('64 KiB').map(({ label, unit, result: small }, index) => {
      const large = calls('4 MiB')[index].result;
      return [
        `${label}, ${unit}`,
        format(small.ours),
        format(large.ours),
        format(small.theirs),
        format(large.theirs),
      ];
    }),
  ],
};

const CHARTS = {
  calls: () =>
    ratioChart({
      title: 'Calls without descriptors: speed as a multiple of stock grpc-js',
      unit: 'times the speed of stock grpc-js',
      series: ['plaintext', 'TLS'],
      rows: calls('64 KiB').map((row, index) => ({ ...row, series: index < WORKLOADS.length ? 0 : 1 })),
    }),
  descriptors: () =>
    valueChart({
      title: 'Calls that carry descriptors: descriptors per second',
      unit: 'descriptors per second, logarithmic; more is better',
      series: ['this package', 'the Go package'],
      rows: DESCRIPTORS.map((name) => {
        const { ours, theirs } = result('handoff', `${name}, against Go`);
        return { label: name, values: [ours, theirs] };
      }),
    }),
  payload: () =>
    valueChart({
      title: 'A large payload: milliseconds until it has been read',
      unit: 'milliseconds, logarithmic; less is better',
      series: ['streamed through stock grpc-js', 'handed over as memory', 'memory mapped before'],
      rows: SIZES.map((size) => {
        const { ours, theirs } = result('payload', `${size}, every page`);
        return {
          label: size,
          values: [theirs, ours, result('payload', `${size}, every page, mapped before`).ours],
        };
      }),
    }),
  scale: () =>
    ratioChart({
      title: 'A call on a busy process: speed as a multiple of a call on an idle one',
      unit: 'times the speed with one connection, nothing held, nothing waiting',
      series: ['a call', 'a call with 1 descriptor'],
      rows: LOADS.flatMap(({ name, label }) => [
        { label, series: 0, result: result('scale', `a call at ${name}`) },
        { label: '', series: 1, result: result('scale', `a call with 1 fd at ${name}`) },
      ]),
    }),
  raw: () =>
    ratioChart({
      title: 'grpcfd/socket without gRPC: speed as a multiple of a C program',
      unit: 'times the speed of a C program that makes the same system calls',
      series: [],
      rows: MESSAGES.map((name) => ({ label: name, series: 0, result: result('limit', name) })),
    }),
  window: () =>
    valueChart({
      title: 'Streams of 64 KiB messages: what the HTTP/2 window changes',
      unit: 'MiB per second, logarithmic; more is better',
      series: ['64 KiB window, the default', '4 MiB window'],
      rows: calls('64 KiB')
        .map(({ label, unit, result: small }, index) => ({
          label,
          unit,
          values: [small.ours, calls('4 MiB')[index].result.ours],
        }))
        .filter(({ unit }) => unit === 'MiB/s'),
    }),
};

// ---- Tables ----

function ratioCells({ ratio, low, high }) {
  return [formatRatio(ratio), `${formatRatio(low)} to ${formatRatio(high)}`];
}

function ratioTable(other, rows) {
  return [
    ['', 'this package', other, 'ratio', 'quartiles'],
    ...rows.map(({ label, unit, result: found }) => [
      `${label}, ${unit}`,
      format(found.ours),
      format(found.theirs),
      ...ratioCells(found),
    ]),
  ];
}

function markdown([head, ...rows]) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const right = head[0] === 'measured' ? '---' : '---:';
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : right))), ...rows.map(line)].join(
    '\n',
  );
}

/** The page, with each table between `<!-- table: NAME -->` and `<!-- end -->` made anew. */
function fillTables(page) {
  const unused = new Set(Object.keys(TABLES));
  const filled = page.replace(
    /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, before, name, after) => {
      if (TABLES[name] === undefined) throw new Error(`performance.md asks for an unknown table: ${name}`);
      unused.delete(name);
      return `${before}\n${markdown(TABLES[name]())}\n\n${after}`;
    },
  );
  if (unused.size > 0) throw new Error(`performance.md lacks the tables ${[...unused].join(', ')}`);
  return filled;
}

// ---- Charts ----

const WIDTH = 760;
const LABEL_WIDTH = 226;
const RIGHT = 64;
const TOP = 56;
const ROW = 23;
const PLOT = WIDTH - LABEL_WIDTH - RIGHT;
/** Each has a contrast of more than 3 on white and on GitHub's dark background. */
const COLOURS = ['#3b82f6', '#c2700a', '#8b6fd8'];

const STYLE = `.chart { color: #24292f; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .chart { color: #d8dee4; } }
.chart text { fill: currentColor; }
.chart .title { font-size: 14px; font-weight: 600; }
.chart .grid { stroke: currentColor; stroke-opacity: 0.18; }
.chart .one { stroke: currentColor; stroke-width: 1.5; }
.chart .span { stroke-width: 4; stroke-opacity: 0.45; }
.chart .link { stroke: currentColor; stroke-opacity: 0.4; }`;

/** One mark to a row: the median of the rounds, on a bar between their quartiles. */
function ratioChart({ title, unit, series, rows }) {
  const largest = Math.max(1, ...rows.map((row) => row.result.high));
  const end = Math.ceil(largest * 4) / 4;
  const x = (value) => LABEL_WIDTH + (value / end) * PLOT;
  const step = end > 2 ? 0.5 : 0.25;
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
  const bottom = TOP + rows.length * ROW;
  const marks = rows.map(({ label, series: own, result: { ratio, low, high } }, index) => {
    const y = TOP + (index + 0.5) * ROW;
    return [
      text(LABEL_WIDTH - 10, y + 4, label, 'text-anchor="end"'),
      `<line class="span" x1="${n(x(low))}" y1="${n(y)}" x2="${n(x(high))}" y2="${n(y)}" stroke="${COLOURS[own]}"/>`,
      mark(own, x(ratio), y),
      text(WIDTH - RIGHT + 12, y + 4, formatRatio(ratio)),
    ].join('\n');
  });
  return svg({
    title,
    series,
    height: bottom + 68,
    body: [
      ...ticks.map((tick) =>
        axisTick(x(tick), bottom, tick.toFixed(2).replace(/0$/, ''), tick === 1 ? 'one' : 'grid'),
      ),
      ...marks,
      text(LABEL_WIDTH + PLOT / 2, bottom + 38, unit, 'text-anchor="middle"'),
      text(
        LABEL_WIDTH + PLOT / 2,
        bottom + 56,
        'mark: median of the rounds; bar: middle half of the rounds; line at 1.0: equal',
        'text-anchor="middle"',
      ),
    ],
  });
}

/** A mark for each series in a row, on a logarithmic axis. */
function valueChart({ title, unit, series, rows }) {
  const all = rows.flatMap((row) => row.values);
  const first = niceBelow(Math.min(...all));
  const last = niceAbove(Math.max(...all));
  const x = (value) => LABEL_WIDTH + (Math.log(value / first) / Math.log(last / first)) * PLOT;
  const bottom = TOP + rows.length * ROW;
  const marks = rows.map(({ label, values: own }, index) => {
    const y = TOP + (index + 0.5) * ROW;
    const [from, to] = [Math.min(...own), Math.max(...own)];
    return [
      text(LABEL_WIDTH - 10, y + 4, label, 'text-anchor="end"'),
      `<line class="link" x1="${n(x(from))}" y1="${n(y)}" x2="${n(x(to))}" y2="${n(y)}"/>`,
      ...own.map((value, at) => mark(at, x(value), y)),
    ].join('\n');
  });
  return svg({
    title,
    series,
    height: bottom + 52,
    body: [
      ...logTicks(first, last).map((tick) => axisTick(x(tick), bottom, format(tick), 'grid')),
      ...marks,
      text(LABEL_WIDTH + PLOT / 2, bottom + 38, unit, 'text-anchor="middle"'),
    ],
  });
}

const NICE = [1, 2, 5, 10];
const decadeOf = (value) => 10 ** Math.floor(Math.log10(value));

function niceBelow(value) {
  const decade = decadeOf(value);
  return Math.max(...NICE.filter((nice) => nice * decade <= value)) * decade;
}

function niceAbove(value) {
  const decade = decadeOf(value);
  return Math.min(...NICE.filter((nice) => nice * decade >= value)) * decade;
}

/** Powers of ten where the axis is long; with 2 and 5 between them where it is short. */
function logTicks(first, last) {
  const between = last / first > 200 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let decade = decadeOf(first); decade <= last; decade *= 10) {
    for (const nice of between) ticks.push(Number((nice * decade).toPrecision(1)));
  }
  return ticks.filter((tick) => tick >= first && tick <= last);
}

function axisTick(x, bottom, label, kind) {
  return [
    `<line class="${kind}" x1="${n(x)}" y1="${TOP}" x2="${n(x)}" y2="${bottom}"/>`,
    text(x, bottom + 17, label, 'text-anchor="middle"'),
  ].join('\n');
}

/** Series differ in shape too, for readers who do not see the colours. */
function mark(series, x, y) {
  const fill = `fill="${COLOURS[series]}"`;
  if (series === 0) return `<circle cx="${n(x)}" cy="${n(y)}" r="5" ${fill}/>`;
  const turn = series === 2 ? ` transform="rotate(45 ${n(x)} ${n(y)})"` : '';
  return `<rect x="${n(x - 4.5)}" y="${n(y - 4.5)}" width="9" height="9" ${fill}${turn}/>`;
}

function svg({ title, series, height, body }) {
  let left = 8;
  const legend = series.map((name, index) => {
    const entry = `${mark(index, left + 5, 40)}\n${text(left + 16, 44, name)}`;
    left += 40 + name.length * 6.5;
    return entry;
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>\n${STYLE}\n</style>`,
    text(8, 18, title, 'class="title"'),
    ...legend,
    ...body,
    '</svg>',
  ].join('\n')}\n`;
}

function text(x, y, content, attributes = '') {
  return `<text x="${n(x)}" y="${n(y)}"${attributes && ` ${attributes}`}>${escapeXml(content)}</text>`;
}

function escapeXml(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/** A coordinate: a tenth of a pixel will do. */
function n(value) {
  return String(Number(value.toFixed(1)));
}

// ---- Files ----

const page = join(docs, 'performance.md');
const files = [
  ...Object.entries(CHARTS).map(([name, draw]) => ({
    path: join(docs, `charts/${name}.svg`),
    content: draw(),
  })),
  { path: page, content: fillTables(readFileSync(page, 'utf8')) },
];
for (const { path, content } of files) {
  if (values.check !== true) {
    writeFileSync(path, content);
  } else if (readOrEmpty(path) !== content) {
    console.error(`${path} is not what bench.json makes: run npm run charts`);
    process.exitCode = 1;
  }
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
