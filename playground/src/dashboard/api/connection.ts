/** The state of the live connection, for the page to show: a small store over the events of a graphql-ws client. */

export type Connection =
  | { state: "connecting" }
  /** `resumed`: it had been lost before. */
  | { state: "live"; since: number; resumed: boolean }
  /** `since`: when the server last said anything, in milliseconds. */
  | { state: "lost"; since: number };

export class ConnectionStore {
  private connection: Connection = { state: "connecting" };
  private readonly listeners = new Set<() => void>();

  readonly get = (): Connection => this.connection;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  connected(): void {
    this.set({ state: "live", since: Date.now(), resumed: this.connection.state === "lost" });
  }

  /** `heard`: when the server last said anything, in milliseconds. */
  closed(heard: number): void {
    if (this.connection.state !== "lost") {
      this.set({ state: "lost", since: heard });
    }
  }

  private set(connection: Connection): void {
    this.connection = connection;
    for (const listener of this.listeners) {
      listener();
    }
  }
}
