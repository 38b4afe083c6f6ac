// The clients of the example: many that make requests, and one that stays connected.
import { once } from 'node:events';
import * as http from 'node:http';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

const CLIENTS_THAT_STAY_CONNECTED = 8;
const CLIENTS_THAT_CONNECT_ANEW = 4;

/** Makes requests, one after the other at each client, until it is stopped. */
export class Load {
  /** How many requests each release has answered. */
  readonly answers = new Map<number, number>();
  #failed = 0;
  #stopped = false;
  readonly #clients: Promise<void>[] = [];
  #onAnswer = () => {};

  readonly #agent = new http.Agent({ keepAlive: true });

  constructor(port: number) {
    for (let index = 0; index < CLIENTS_THAT_STAY_CONNECTED; index++)
      this.#clients.push(this.#run(port, this.#agent));
    for (let index = 0; index < CLIENTS_THAT_CONNECT_ANEW; index++)
      this.#clients.push(this.#run(port, false));
  }

  /** Resolves when that release has answered so many requests. */
  answeredBy(release: number, count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#onAnswer = () => {
        if ((this.answers.get(release) ?? 0) >= count) resolve();
      };
    });
  }

  async stop(): Promise<{ failed: number }> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
    return { failed: this.#failed };
  }

  async #run(port: number, agent: http.Agent | false): Promise<void> {
    while (!this.#stopped) {
      try {
        const release = Number(await get(port, agent));
        this.answers.set(release, (this.answers.get(release) ?? 0) + 1);
      } catch (error) {
        this.#failed++;
        console.log(`a request failed: ${error}`);
      }
      this.#onAnswer();
    }
  }
}

async function get(port: number, agent: http.Agent | false): Promise<string> {
  const request = http.get({ host: '127.0.0.1', port, agent });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

/** One client of the protocol `talk`: it sends a line, waits for its answer, and sends the next one. It never connects again. */
export class TalkingClient {
  readonly releases: number[] = [];
  lost = 0;
  readonly #socket: Socket;
  #onAnswer = () => {};

  static async connect(port: number): Promise<TalkingClient> {
    const headers = { connection: 'upgrade', upgrade: 'talk' };
    const [, socket] = await once(http.get({ host: '127.0.0.1', port, headers }), 'upgrade');
    return new TalkingClient(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    let sent = 1;
    createInterface({ input: socket }).on('line', (line) => {
      const [release, number] = line.split(' ').map(Number);
      if (release !== undefined && this.releases.at(-1) !== release) this.releases.push(release);
      if (number !== sent++) this.lost++;
      this.#onAnswer();
      if (socket.writable) socket.write(`${sent}\n`);
    });
    socket.on('close', () => this.#onAnswer());
    socket.write(`${sent}\n`);
  }

  /** Resolves when that release has answered. */
  answeredBy(release: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onAnswer = () => {
        if (this.releases.includes(release)) resolve();
        else if (this.#socket.destroyed) reject(new Error('the live connection was lost'));
      };
      this.#onAnswer();
    });
  }

  end(): void {
    this.#socket.end();
  }
}
