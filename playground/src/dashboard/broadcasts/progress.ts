/** The newest known of one broadcast: read at first, then followed for as long as it is open. */
import { useCallback, useEffect, useState } from "react";
import { useClient } from "urql";
import {
  BroadcastOneDocument,
  BroadcastProgressDocument,
  type BroadcastStatus,
  type SendingFragment,
} from "../../generated/documents";
import { sentence } from "../api/problem";
import { useReading } from "../ui/use-reading";

const final: readonly BroadcastStatus[] = ["COMPLETED", "CANCELLED"];

/** Another tab may have it tried again after its end, which its finished subscription does not tell. */
const LOOK_AGAIN = 4_000;

export interface Followed {
  broadcast: SendingFragment | null | undefined;
  problem: string | null;
  /** What the answer to a mutation says of it. */
  take: (broadcast: SendingFragment) => void;
  again: () => void;
}

export function useBroadcast(id: string): Followed {
  const client = useClient();
  const { data, error, again } = useReading(BroadcastOneDocument, { id }, LOOK_AGAIN);
  const [broadcast, setBroadcast] = useState<SendingFragment | null>();
  const read = data?.broadcast;
  useEffect(() => {
    if (read !== undefined) {
      setBroadcast(read);
    }
  }, [read]);
  const isOpen = broadcast?.id === id && !final.includes(broadcast.status);
  useEffect(() => {
    if (!isOpen) {
      return;
    }
    const { unsubscribe } = client
      .subscription(BroadcastProgressDocument, { broadcastId: id })
      .subscribe(({ data: step }) => {
        if (step) {
          setBroadcast(step.broadcastProgress.broadcast);
        }
      });
    return unsubscribe;
  }, [client, id, isOpen]);
  const take = useCallback((answered: SendingFragment) => setBroadcast(answered), []);
  return {
    broadcast: broadcast?.id === id ? broadcast : data && read,
    problem: error ? sentence(error) : null,
    take,
    again,
  };
}
