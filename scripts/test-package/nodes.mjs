// The oldest and the newest Node.js of each line that the package supports.
import { exchange, rowForEachDoor } from './exchange.mjs';
import { nodeBinary, plainProject } from './projects.mjs';

// npm's registry has not every version for arm64.
export const NODES = ['20.19.0', process.arch === 'arm64' ? '22.13.1' : '22.12.0', '22', '24', '26'];

export const rows = [
  ...rowForEachDoor({
    subject: 'node',
    environment: 'this Node',
    short: true,
    async work(file) {
      await exchange(process.execPath, [file], { cwd: await plainProject() });
      return `${process.version}, ${process.arch}`;
    },
  }),
  ...NODES.flatMap((version) =>
    rowForEachDoor({
      subject: 'node',
      environment: `Node ${version}, glibc`,
      short: version === NODES[0],
      async work(file) {
        const node = await nodeBinary(version);
        await exchange(node.file, [file], { cwd: await plainProject() });
        return `v${node.version}, ${process.arch}`;
      },
    }),
  ),
];
