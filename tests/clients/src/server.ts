/** The server under test, as a process that can be killed and started again at the same address. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const secret = "test-secret";

function variable(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: these tests are run by tests/clients.rs`);
  }
  return value;
}

export class Server {
  private constructor(
    private process: ChildProcess,
    /** Where it listens, after a restart too. */
    readonly port: number,
  ) {}

  /** Starts `besty serve` and waits until it listens. */
  static async start(): Promise<Server> {
    for (;;) {
      // Below the ports of outgoing connections: while the server is down, none of them takes its place.
      const port = 20_000 + Math.floor(Math.random() * 10_000);
      const process = await serve(port);
      if (process) {
        return new Server(process, port);
      }
    }
  }

  url(protocol: "http" | "ws"): string {
    return `${protocol}://127.0.0.1:${this.port}/graphql`;
  }

  /** SIGKILL: every connection breaks, and nothing is put in order. */
  async kill(): Promise<void> {
    const exit = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exit;
  }

  /** At the same address as before. */
  async restart(): Promise<void> {
    const process = await serve(this.port);
    if (!process) {
      throw new Error(`port ${this.port} was taken meanwhile`);
    }
    this.process = process;
  }

  /** Posts a webhook that is to be applied: `n` is the reservation, and when it was made. */
  async apply(n: number, property: string): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/webhooks`, {
      method: "POST",
      headers: { "x-webhook-secret": secret },
      body: JSON.stringify({
        event: "reservation.created",
        timestamp: new Date(Date.UTC(2026, 2, 1, 0, 0, n)).toISOString(),
        data: {
          reservationId: `${property}_${n}`,
          propertyId: property,
          guestId: `guest_${n}`,
          status: "confirmed",
          checkIn: "2026-04-06",
          checkOut: "2026-04-13",
          numGuests: 2,
          totalAmount: 100,
          currency: "EUR",
          // Complete, so that nobody looks the guest up.
          guest: { firstName: "Ada", lastName: "Lovelace", email: "ada@example.com", phone: "+1" },
        },
      }),
    });
    const body = await answer.text();
    if (body !== '{"ok":true,"result":"applied"}') {
      throw new Error(`${answer.status} ${body}`);
    }
  }
}

/** Undefined when the port is taken. */
async function serve(port: number): Promise<ChildProcess | undefined> {
  const child = spawn(variable("BESTY"), ["serve"], {
    cwd: variable("BESTY_FOLDER"),
    env: {
      DATABASE_URL: variable("BESTY_DATABASE_URL"),
      WEBHOOK_SECRET: secret,
      PORT: String(port),
      GUEST_API_BASE_URL: "http://127.0.0.1:9",
    },
    stdio: ["ignore", "inherit", "pipe"],
  });
  // Whatever comes of the test, no server stays behind.
  process.on("exit", () => child.kill("SIGKILL"));
  const said: string[] = [];
  const lines = createInterface({ input: child.stderr });
  const listening = new Promise<boolean>((resolve) => {
    lines.on("line", (line) => {
      said.push(line);
      if (line.includes("listening address=")) {
        resolve(true);
      }
    });
    child.on("exit", () => resolve(false));
  });
  const patience = new AbortController();
  const late = sleep(30_000, undefined, { signal: patience.signal }).then(
    () => Promise.reject(new Error(`the server does not listen: ${said.join("\n")}`)),
    () => false,
  );
  const isListening = await Promise.race([listening, late]);
  patience.abort();
  if (isListening) {
    return child;
  }
  if (said.some((line) => line.includes("in use"))) {
    return undefined;
  }
  throw new Error(`the server ended: ${said.join("\n")}`);
}
