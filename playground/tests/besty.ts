/** The server under test and the stand-in Guest API, as processes that can be killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const secret = "test-secret";

function variable(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: these tests are run by tests/pages`);
  }
  return value;
}

/** Below the ports of outgoing connections: while a server is down, none of them takes its place. */
function anyPort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}

export interface Booking {
  id: string;
  property: string;
  guest?: string;
  status?: "confirmed" | "modified" | "cancelled";
  checkIn?: string;
  checkOut?: string;
  name?: string;
  total?: number;
}

export class Besty {
  private constructor(
    private child: ChildProcess,
    /** Where it listens, after a restart too. */
    readonly port: number,
    private readonly set: Record<string, string>,
  ) {}

  static async start(set: Record<string, string> = {}): Promise<Besty> {
    for (;;) {
      const port = anyPort();
      const child = await listening(["serve"], environment(port, set));
      if (child) {
        return new Besty(child, port, set);
      }
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** SIGKILL: every connection breaks, and nothing is put in order. */
  async kill(): Promise<void> {
    await end(this.child, "SIGKILL");
  }

  /** SIGTERM: as it is meant to stop. */
  async stop(): Promise<void> {
    await end(this.child, "SIGTERM");
  }

  /** At the same address as before. */
  async restart(): Promise<void> {
    const child = await listening(["serve"], environment(this.port, this.set));
    if (!child) {
      throw new Error(`port ${this.port} was taken meanwhile`);
    }
    this.child = child;
  }

  /** A webhook that is to be applied. Each is newer than the ones before. */
  async apply(booking: Booking): Promise<void> {
    const answer = await this.webhook(event(booking));
    if (answer !== '{"ok":true,"result":"applied"}') {
      throw new Error(answer);
    }
  }

  /** Any body; what was answered. */
  async webhook(body: unknown): Promise<string> {
    const answer = await fetch(`${this.url}/webhooks`, {
      method: "POST",
      headers: { "x-webhook-secret": secret },
      body: JSON.stringify(body),
    });
    return answer.text();
  }

  async graphql<Data>(query: string, variables: object = {}): Promise<Data> {
    const answer = await fetch(`${this.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await answer.json()) as { data: Data; errors?: unknown };
    if (errors) {
      throw new Error(JSON.stringify(errors));
    }
    return data;
  }
}

/** The stand-in Guest API: guests are `guest_` and a number. */
export class Sandbox {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  static async start(rate: number, burst: number): Promise<Sandbox> {
    for (;;) {
      const address = `127.0.0.1:${anyPort()}`;
      const limits = ["--rate", String(rate), "--burst", String(burst), "--events", "1"];
      const child = await listening(["sandbox", "--listen", address, ...limits], { WEBHOOK_SECRET: secret });
      if (child) {
        return new Sandbox(child, `http://${address}`);
      }
    }
  }

  /** From now on nobody knows this guest. */
  async forget(guest: string): Promise<void> {
    await this.fault({ times: null, guest, on: "message", effect: { answer: { status: 404 } } });
  }

  async remember(): Promise<void> {
    await fetch(`${this.url}/sandbox/faults`, { method: "DELETE" });
  }

  async stop(): Promise<void> {
    await end(this.child, "SIGTERM");
  }

  private async fault(fault: object): Promise<void> {
    await fetch(`${this.url}/sandbox/faults`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fault),
    });
  }
}

/** Later in each test than in the ones before, whichever worker runs it. */
let stamp = Date.now();

function event({ id, property, guest = `guest_of_${id}`, status = "confirmed", ...rest }: Booking): object {
  stamp = Math.max(stamp + 1, Date.now());
  const [firstName = "Ada", lastName = "Lovelace"] = (rest.name ?? "").split(" ").filter(Boolean);
  const types = { confirmed: "created", modified: "updated", cancelled: "cancelled" };
  return {
    event: `reservation.${types[status]}`,
    timestamp: new Date(stamp).toISOString(),
    data: {
      reservationId: id,
      propertyId: property,
      guestId: guest,
      status,
      checkIn: rest.checkIn ?? "2026-12-06",
      checkOut: rest.checkOut ?? "2026-12-13",
      numGuests: 2,
      totalAmount: rest.total ?? 480.5,
      currency: "EUR",
      // Complete, so that nobody looks the guest up.
      guest: { firstName, lastName, email: `${guest}@example.com`, phone: "+44 20 7946 0000" },
    },
  };
}

function environment(port: number, set: Record<string, string>): Record<string, string> {
  return {
    DATABASE_URL: variable("BESTY_DATABASE_URL"),
    WEBHOOK_SECRET: secret,
    PORT: String(port),
    GUEST_API_BASE_URL: "http://127.0.0.1:9",
    ...set,
  };
}

/** Undefined when the port is taken. */
async function listening(args: string[], env: Record<string, string>): Promise<ChildProcess | undefined> {
  const child = spawn(variable("BESTY"), args, {
    cwd: variable("BESTY_FOLDER"),
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // Whatever comes of the test, no process stays behind.
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  child.on("exit", () => process.off("exit", kill));
  const said: string[] = [];
  const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
  const isListening = await new Promise<boolean>((resolve) => {
    lines.on("line", (line) => {
      said.push(line);
      if (line.includes("listening address=") || line.includes("stand-in Guest API listens")) {
        resolve(true);
      }
    });
    child.on("exit", () => resolve(false));
  });
  if (isListening) {
    return child;
  }
  if (said.some((line) => line.includes("in use") || line.includes("can't be listened on"))) {
    return undefined;
  }
  throw new Error(`it ended: ${said.join("\n")}`);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return;
  }
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
}
