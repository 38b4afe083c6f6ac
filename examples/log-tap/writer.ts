// Logs a line now and then, to a pipe.
import { setTimeout as delay } from 'node:timers/promises';

console.log(`this is process ${process.pid}`);
for (let number = 1; number <= 3; number++) {
  await delay(100);
  console.log(`line ${number}`);
}
await delay(600_000);
console.log('line 4');
