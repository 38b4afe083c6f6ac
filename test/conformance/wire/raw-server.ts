/** A server on a unix socket whose first connections follow scripts. Those after them are sound. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { certificates } from '../../support/certificates.js';
import type { Run } from '../run.js';
import { RawConnection } from './raw-connection.js';
import { type Automatic, SOUND, type Step } from './steps.js';

export class RawServer {
  readonly connections: RawConnection[] = [];
  readonly #run: Run;
  #programs: readonly (readonly Step[])[];
  readonly #automatic: Automatic;
  readonly #server: Server;
  #playing = 0;

  static async listen(
    run: Run,
    programs: readonly (readonly Step[])[],
    automatic: Automatic,
  ): Promise<RawServer> {
    const { server } = await certificates();
    const secureContext = run.security === 'TLS' ? createSecureContext(server) : undefined;
    const secure = (socket: Socket) =>
      secureContext === undefined
        ? socket
        : new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['h2'] });
    const raw = new RawServer(run, programs, automatic, secure);
    raw.#server.listen(run.path);
    await once(raw.#server, 'listening');
    return raw;
  }

  private constructor(
    run: Run,
    programs: readonly (readonly Step[])[],
    automatic: Automatic,
    secure: (socket: Socket) => Socket,
  ) {
    this.#run = run;
    this.#programs = programs;
    this.#automatic = automatic;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      void this.#accept(secure(socket));
    });
  }

  /** Whether every script of a connection so far has come to its end. */
  get done(): boolean {
    return this.#playing === 0;
  }

  get open(): number {
    return this.connections.filter(({ closed }) => !closed).length;
  }

  /** Breaks all connections; new ones are sound. */
  sever(): void {
    this.#programs = [];
    for (const connection of this.connections) connection.destroy();
  }

  /** Keeps no process alive any more. */
  unref(): void {
    this.#server.unref();
    for (const connection of this.connections) connection.unref();
  }

  async close(): Promise<void> {
    this.sever();
    this.#server.close();
    await this.#run.turns(1);
  }

  async #accept(socket: Socket): Promise<void> {
    const index = this.connections.length;
    const program = this.#programs[index];
    const automatic = program === undefined ? SOUND : this.#automatic;
    const connection = new RawConnection(this.#run, `connection ${index}`, socket, 'server', automatic);
    this.connections.push(connection);
    this.#run.stir();
    if (program === undefined) {
      connection.send({ frame: 'settings' });
    } else {
      this.#playing++;
      await connection.play(program);
      this.#playing--;
      this.#run.stir();
    }
    connection.behave();
  }
}
