/** Imports the modules that its arguments name, and prints the seconds that it took. */
const start = performance.now();
for (const name of process.argv.slice(2)) await import(name);
console.log((performance.now() - start) / 1e3);
