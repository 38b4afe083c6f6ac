/** Runs a grpc-js client against grpc-js servers, one after another at the same address. */
import type * as grpc from '@grpc/grpc-js';
import { bind } from '../../support/service.js';
import { LoggedCall } from '../calls.js';
import { addHandlers } from '../handlers.js';
import { Leftovers } from '../leftovers.js';
import { newClient, newServer, RECONNECT_MS, serverCredentials } from '../library.js';
import type { Run } from '../run.js';
import type { BothEndsScript, Deed } from '../script.js';

export async function runBothEnds(run: Run, script: BothEndsScript): Promise<void> {
  const leftovers = new Leftovers(run.library, false);
  const rig = new Rig(run, script, await newClient(run.library, run.security, run.address));
  await rig.startServer();
  for (const deed of script.deeds) await rig.do(deed);
  await rig.finish();
  await leftovers.log(run);
}

class Rig {
  readonly #run: Run;
  readonly #script: BothEndsScript;
  readonly #client: grpc.Client;
  readonly #calls: LoggedCall[] = [];
  readonly #servers: grpc.Server[] = [];
  #stopped = 0;
  #clientOpen = true;
  #serverOpen = false;

  constructor(run: Run, script: BothEndsScript, client: grpc.Client) {
    this.#run = run;
    this.#script = script;
    this.#client = client;
  }

  async startServer(): Promise<void> {
    const run = this.#run;
    const server = newServer(run.library);
    addHandlers(server, run, this.#script.handlers);
    const name = `server ${this.#servers.push(server)}`;
    try {
      await bind(server, run.address, await serverCredentials(run.library, run.security));
      this.#serverOpen = true;
    } catch (error) {
      run.log(name, String(error));
    }
  }

  async do(deed: Deed): Promise<void> {
    await this.#run.hesitate();
    switch (deed.do) {
      case 'call':
        this.#calls.push(new LoggedCall(this.#run, this.#client, deed.plan, this.#calls.length));
        break;
      case 'cancel':
        this.#calls[deed.call]?.cancel();
        break;
      case 'turns':
        await this.#run.turns(deed.count);
        break;
      case 'ms':
        await this.#run.ms(deed.count);
        break;
      case 'settle':
        await this.#settled();
        break;
      case 'tryShutdown':
        this.#stopServer();
        break;
      case 'forceShutdown':
        this.#serverOpen = false;
        this.#run.expectTimer(RECONNECT_MS);
        this.#servers.at(-1)?.forceShutdown();
        break;
      case 'restart':
        this.#stopServer();
        await this.startServer();
        break;
      case 'close client':
        this.#clientOpen = false;
        this.#client.close();
        break;
    }
  }

  /** Another call, where the client can still make one, and the end of all. */
  async finish(): Promise<void> {
    const run = this.#run;
    await this.#settled();
    for (const call of this.#calls) call.noteIfPending();
    for (const call of this.#calls) call.cancel();
    if (!this.#serverOpen) await this.startServer();
    if (this.#clientOpen) await this.#askAgain();
    this.#client.close();
    const before = this.#stopped;
    for (const server of this.#servers) server.tryShutdown(() => this.#noteStop());
    await run.until(() => this.#stopped - before >= this.#servers.length, 2);
    run.log('tryShutdown of all', this.#stopped - before >= this.#servers.length ? 'done' : 'pending');
    for (const server of this.#servers) server.forceShutdown();
  }

  async #settled(): Promise<void> {
    await this.#run.until(() => this.#calls.every(({ settled }) => settled));
  }

  #stopServer(): void {
    this.#serverOpen = false;
    this.#run.expectTimer(RECONNECT_MS);
    const name = `server ${this.#servers.length}`;
    this.#servers.at(-1)?.tryShutdown((error) => {
      this.#run.log(name, error === undefined || error === null ? 'shut down' : String(error));
      this.#noteStop();
    });
  }

  #noteStop(): void {
    this.#stopped++;
    this.#run.stir();
  }

  async #askAgain(): Promise<void> {
    const plan = { kind: 'unary', requests: [3], start: 0, waitForReady: true } as const;
    const call = new LoggedCall(this.#run, this.#client, plan, 'at the end');
    this.#run.expectTimer(3 * RECONNECT_MS);
    await this.#run.until(() => call.settled, 4);
    call.noteIfPending();
    call.cancel();
  }
}
