// All rows, in the order of the table.
import * as binaries from './binaries.mjs';
import * as bundlers from './bundlers.mjs';
import * as cLibraries from './c-libraries.mjs';
import * as folders from './folders.mjs';
import * as importTime from './import-time.mjs';
import * as installers from './installers.mjs';
import * as nodes from './nodes.mjs';
import * as otherPlatforms from './other-platforms.mjs';
import * as otherRuntimes from './other-runtimes.mjs';
import * as singleExecutable from './single-executable.mjs';
import * as tarball from './tarball.mjs';
import * as testRunners from './test-runners.mjs';
import * as tool from './tool.mjs';
import * as twoCopies from './two-copies.mjs';
import * as typescript from './typescript.mjs';

const SUBJECTS = [
  ...[nodes, folders, cLibraries, binaries, typescript, testRunners],
  ...[bundlers, singleExecutable, installers, otherRuntimes, otherPlatforms],
  ...[twoCopies, tarball, tool, importTime],
];

export const ALL = SUBJECTS.flatMap(({ rows }) => rows);
