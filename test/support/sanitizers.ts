/** Why a test whose child has an empty environment is to be skipped, or false: the addon of `npm run test:sanitizers` needs a variable there. */
export const withoutEnvironment: string | false =
  process.env['LD_PRELOAD']?.includes('libasan') === true &&
  'a process without an environment cannot load an addon with sanitizers';

/** What a process needs that loads that addon. */
export const sanitizerEnvironment: NodeJS.ProcessEnv = {
  LD_PRELOAD: process.env['LD_PRELOAD'],
  ASAN_OPTIONS: process.env['ASAN_OPTIONS'],
};
